"""Two processes at once, processes that are killed or interrupted at work, and a full disk."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from environments.errors import StorageError
from environments.tests.toolchain_mirror import Machine, Mirror, Resolver, fake_binary, until
from environments.toolchain import locate, resolve

pytest_plugins = ["environments.tests.toolchain_fixtures"]

Spawn = Callable[..., Resolver]
HELD_BYTES = 1 << 20


@pytest.fixture
def held(machine: Machine, mirror: Mirror) -> Mirror:
    """A publisher that stops in the middle of opa until its gate is opened."""
    machine.environment.setenv("MOD209_RELEASES", mirror.url)
    mirror.publish("opa", fake_binary("opa", size=HELD_BYTES))
    mirror.faults[mirror.asset("opa")] = "held"
    return mirror


@pytest.fixture
def building(machine: Machine) -> Path:
    """A Go whose builds never end; the file returned holds the build's process id as soon as one runs."""
    pid_file = machine.root / "build.pid"
    machine.put_go(f"echo started; echo $$ > {pid_file}.new; /bin/mv {pid_file}.new {pid_file}; exec /bin/sleep 600")
    return pid_file


def partials(machine: Machine) -> list[Path]:
    """Half-done files in the cache."""
    return list(machine.cache.glob("tools/*/.partial-*"))


def alive(pid_file: Path) -> bool:
    """Whether the process named in `pid_file` still runs."""
    pid = int(pid_file.read_text())
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_two_processes_at_once_fetch_once(held: Mirror, spawn: Spawn, machine: Machine) -> None:
    first = spawn("opa")
    until(lambda: held.asset("opa") in held.asked, "the first download")
    second = spawn("opa")
    until(lambda: "WAITING opa" in second.said, "the second process waiting")
    held.gate.set()
    assert (first.end(), second.end()) == (0, 0)
    assert (first.said[-1], second.said[-1]) == ("opa=release", "opa=cache")
    assert held.asked.count(held.asset("opa")) == 1
    assert machine.leftovers() == []


def test_many_processes_at_once_all_succeed(held: Mirror, spawn: Spawn) -> None:
    held.gate.set()
    resolvers = [spawn("opa") for _ in range(4)]
    assert [resolver.end() for resolver in resolvers] == [0] * 4
    assert held.asked.count(held.asset("opa")) == 1


def test_a_process_killed_in_a_download_leaves_nothing_that_counts(
    held: Mirror, spawn: Spawn, machine: Machine
) -> None:
    killed = spawn("opa")
    until(lambda: any(path.stat().st_size > HELD_BYTES // 4 for path in partials(machine)), "half a download")
    killed.process.send_signal(signal.SIGKILL)
    assert killed.end() == -signal.SIGKILL
    assert partials(machine)
    assert locate("opa") is None
    held.gate.set()
    assert resolve(["opa"])["opa"].source == "release"
    assert machine.leftovers() == []


def test_an_interrupt_ends_a_stalled_download_at_once(held: Mirror, spawn: Spawn, machine: Machine) -> None:
    interrupted = spawn("opa")
    until(lambda: any(path.stat().st_size for path in partials(machine)), "half a download")
    interrupted.process.send_signal(signal.SIGINT)
    assert interrupted.end() != 0
    assert "KeyboardInterrupt" in interrupted.said[-1]
    assert not held.gate.is_set()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_dies_with_the_process_that_wanted_it(building: Path, spawn: Spawn, how: signal.Signals) -> None:
    resolver = spawn("etcd")
    until(building.exists, "the build")
    assert alive(building)
    resolver.process.send_signal(how)
    assert resolver.end() != 0
    until(lambda: not alive(building), "the end of the build")


def test_an_interrupted_build_leaves_nothing(building: Path, spawn: Spawn, machine: Machine) -> None:
    resolver = spawn("etcd")
    until(building.exists, "the build")
    resolver.process.send_signal(signal.SIGINT)
    resolver.end()
    assert machine.leftovers() == []


def test_what_a_killed_build_left_is_removed_by_the_next(building: Path, spawn: Spawn, machine: Machine) -> None:
    resolver = spawn("etcd")
    until(building.exists, "the build")
    resolver.process.send_signal(signal.SIGKILL)
    resolver.end()
    assert machine.leftovers()
    machine.put_go(f"/bin/cp {machine.put('etcd', fake_binary('etcd'), machine.root / 'payload')} $out")
    assert resolve(["etcd"])["etcd"].source == "built"
    assert machine.leftovers() == []


def test_a_full_disk_is_said_so_and_leaves_nothing(held: Mirror, spawn: Spawn, machine: Machine) -> None:
    held.gate.set()
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({HELD_BYTES // 2},) * 2)\n"
    resolver = spawn("opa", prelude=limit)
    assert resolver.end() == 1
    assert resolver.said[-1].startswith("StorageError: Cannot write")
    assert machine.leftovers() == []
    assert locate("opa") is None


def test_a_full_disk_in_a_build_is_told_from_a_failed_build(machine: Machine) -> None:
    machine.put_go("echo 'link: writing output: no space left on device'; exit 1")
    with pytest.raises(StorageError, match="The disk is full") as caught:
        resolve(["etcd"])
    assert "MOD209_CACHE" in caught.value.hint
    assert machine.leftovers() == []
