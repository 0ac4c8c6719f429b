"""Tools that the machine already has: on `PATH`, or whole in the cache."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.errors import StorageError, ToolError
from environments.tests.toolchain_mirror import ANSWERS, Machine, fake_binary
from environments.toolchain import catalog, locate, resolve
from environments.toolchain.catalog import MODULES

pytest_plugins = ["environments.tests.toolchain_fixtures"]


@pytest.fixture
def cached(machine: Machine) -> Machine:
    """A machine with all tools in its cache, copied from a folder."""
    for name in ANSWERS:
        machine.put(name, fake_binary(name), machine.root / "tools")
    machine.environment.setenv("MOD209_TOOLS", str(machine.root / "tools"))
    tools = resolve(list(ANSWERS))
    assert {tool.source for tool in tools.values()} == {"directory"}
    machine.environment.delenv("MOD209_TOOLS")
    return machine


def counting(machine: Machine, name: str, version: str) -> Path:
    """A binary on `PATH` that leaves a line in the file returned, every time that it runs."""
    log = machine.root / f"{name}.ran"
    machine.put(name, f"#!/bin/sh\necho ran >> {log}\necho '{ANSWERS[name].format(version)}'\n")
    return log


def test_nothing_is_found_on_an_empty_machine(machine: Machine) -> None:
    assert [locate(name) for name in catalog()] == [None] * len(catalog())


def test_path_comes_before_the_cache(cached: Machine) -> None:
    on_path = cached.put("etcd", fake_binary("etcd"))
    tool = resolve(["etcd"])["etcd"]
    assert (tool.source, tool.path, tool.version) == ("path", on_path, catalog()["etcd"].version)


@pytest.mark.parametrize("version", ["3.4.30", "3.7.30", "3.7.3-rc.1", "13.7.3"])
def test_another_version_on_path_is_passed_over(cached: Machine, version: str) -> None:
    cached.put("etcd", fake_binary("etcd", version))
    assert resolve(["etcd"])["etcd"].source == "cache"


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\nexit 1\n", "#!/nonexistent\n", "", "#!/bin/sh\necho etcd Version: 3.7.3; exit 2\n"]
)
def test_a_broken_binary_on_path_is_passed_over(cached: Machine, text: str) -> None:
    cached.put("etcd", text)
    assert resolve(["etcd"])["etcd"].source == "cache"


def test_a_right_version_later_on_path_is_found(machine: Machine) -> None:
    machine.put("etcd", fake_binary("etcd", "3.4.30"))
    right = machine.put("etcd", fake_binary("etcd"), machine.root / "later")
    machine.environment.setenv("PATH", f"{machine.bin}:{right.parent}")
    tool = locate("etcd")
    assert tool is not None
    assert tool.path == right


def test_a_relative_entry_of_path_is_not_trusted(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put("etcd", fake_binary("etcd"))
    monkeypatch.chdir(machine.bin)
    machine.environment.setenv("PATH", ".:")
    assert locate("etcd") is None


def test_a_binary_on_path_is_asked_again_only_when_it_changed(machine: Machine) -> None:
    log = counting(machine, "etcd", "3.4.30")
    assert [locate("etcd") for _ in range(3)] == [None] * 3
    assert log.read_text() == "ran\n"
    counting(machine, "etcd", catalog()["etcd"].version)
    assert locate("etcd") is not None
    assert log.read_text() == "ran\nran\n"


def test_warm_resolution_takes_less_than_30_ms(cached: Machine) -> None:
    cached.put("kubectl", fake_binary("kubectl", "1.32.4"))

    def seconds() -> float:
        start = time.perf_counter()
        assert all(tool.source == "cache" for tool in resolve(list(ANSWERS)).values())
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.030


@pytest.fixture
def own_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Our own modules, to be changed; what is known of them is forgotten before and after."""
    module = sys.modules["environments.toolchain.catalog"]  # that attribute of the package is the function
    monkeypatch.setattr(module, "MODULES", shutil.copytree(MODULES, tmp_path / "modules"))
    yield tmp_path / "modules"
    catalog.cache_clear()


def test_a_tool_of_our_own_whose_source_changed_is_not_run_any_more(cached: Machine, own_sources: Path) -> None:
    stale = cached.put("ways", fake_binary("ways"))
    assert locate("reach") is not None
    assert locate("ways") is not None
    for name in ("reach", "ways"):
        (own_sources / name / "new.go").write_text("package main\n")
    catalog.cache_clear()
    assert locate("reach") is None
    assert locate("ways") is None  # nor from PATH, nor from a folder of tools
    cached.environment.setenv("MOD209_TOOLS", str(stale.parent))
    with pytest.raises(ToolError, match=f"{stale} is another version"):
        resolve(["ways"])


def test_a_cache_filled_by_root_serves_every_user(cached: Machine) -> None:
    files = [path for path in cached.cache.rglob("*") if path.name in {*ANSWERS, "record.json"} and path.is_file()]
    assert len(files) == 2 * len(ANSWERS)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)


def test_the_cache_remembers_where_a_tool_came_from(cached: Machine) -> None:
    tool = locate("opa")
    assert tool is not None
    assert tool.origin == f"directory: {cached.root / 'tools' / 'opa'}"


def test_a_cached_binary_that_was_changed_does_not_count(cached: Machine) -> None:
    tool = locate("etcd")
    assert tool is not None
    good = tool.path.read_bytes()
    for bad in (good + b"\n", good.replace(b"etcd", b"evil"), b""):
        tool.path.write_bytes(bad)
        assert locate("etcd") is None
    tool.path.write_bytes(good)
    assert locate("etcd") == tool


def test_a_cached_binary_that_was_only_touched_is_checked_once_and_kept(cached: Machine) -> None:
    tool = locate("etcd")
    assert tool is not None
    os.utime(tool.path, ns=(1, 1))
    assert locate("etcd") == tool
    assert json.loads((tool.path.parent / "record.json").read_text())["mtime_ns"] == 1


@pytest.mark.parametrize("record", [None, b"", b"{", b"[]", b'{"name": "etcd"}'])
def test_a_binary_without_a_whole_record_does_not_count(cached: Machine, record: bytes | None) -> None:
    tool = locate("etcd")
    assert tool is not None
    path = tool.path.parent / "record.json"
    path.unlink()
    if record is not None:
        path.write_bytes(record)
    assert locate("etcd") is None


def test_a_record_of_another_version_does_not_count(cached: Machine) -> None:
    tool = locate("etcd")
    assert tool is not None
    record = tool.path.parent / "record.json"
    record.write_text(record.read_text().replace(tool.version, "3.4.30"))
    assert locate("etcd") is None


def test_a_cache_that_cannot_be_made_is_said_so(machine: Machine) -> None:
    machine.cache.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="Cannot write") as caught:
        resolve(["etcd"])
    assert "MOD209_CACHE" in caught.value.hint
