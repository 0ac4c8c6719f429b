"""Limits of memory and processes for one cage, by cgroup v1 or v2, and the certainty that none of it is left."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from environments.errors import CageError
from graders.cage.base import Limits

_NEEDED: Final = ("memory", "pids")
_OPTIONAL: Final = ("cpuacct",)
_DEATH_SECONDS: Final = 10.0
_HINT: Final = "Run as root on the machine itself, or in a container with --privileged."


@dataclass(frozen=True)
class Hierarchy:
    """Where cgroups are made: one folder per controller (v1), or the same folder for all (v2)."""

    version: int
    folders: Mapping[str, Path]

    def create(self, name: str, limits: Limits) -> Cgroup:
        """Make an empty cgroup with these limits; what a killed grader left under the name is killed and removed.

        Raises:
            CageError: The kernel refuses the cgroup or a limit.
        """
        group = self._named(name)
        try:
            group.destroy()
            for folder in group.distinct:
                folder.mkdir()
            (_limit_v1 if self.version == 1 else _limit_v2)(group, limits)
        except OSError as error:
            group.destroy()
            raise CageError(f"the cage's limits could not be set: {error}", hint=_HINT) from error
        return group

    def sweep(self, abandoned: Callable[[str], AbstractContextManager[bool]]) -> None:
        """Remove the cgroups that killed graders left.

        Args:
            abandoned: Tells of a name whether its cage is nobody's, and keeps it so meanwhile.
        """
        for name in {path.name for folder in self.folders.values() for path in folder.glob("mod209-cage-*")}:
            with abandoned(name) as free:
                if free:
                    self._named(name).destroy()

    def _named(self, name: str) -> Cgroup:
        return Cgroup(self.version, {controller: folder / name for controller, folder in self.folders.items()})


@dataclass(frozen=True)
class Cgroup:
    """One cage's cgroup."""

    version: int
    folders: Mapping[str, Path]

    @property
    def distinct(self) -> tuple[Path, ...]:
        """Its folders, each once."""
        return tuple(dict.fromkeys(self.folders.values()))

    @property
    def _is_v2(self) -> bool:
        return self.version > 1

    def add(self, pid: int) -> None:
        """Move a process in; its children follow."""
        for folder in self.distinct:
            _write(folder / "cgroup.procs", pid)

    def pids(self) -> set[int]:
        """Host pids of all processes in it."""
        return {int(pid) for folder in self.distinct for pid in _read(folder / "cgroup.procs").split()}

    def cpu_seconds(self) -> float | None:
        """CPU time used by all processes that ever were in it; None where the system does not count it."""
        if self._is_v2:
            return _field(self.folders["memory"] / "cpu.stat", "usage_usec") / 1e6
        if folder := self.folders.get("cpuacct"):
            return int(_read(folder / "cpuacct.usage") or 0) / 1e9
        return None

    def peak_memory(self) -> int | None:
        """Highest memory use in bytes; None where the system does not tell it."""
        name = "memory.peak" if self._is_v2 else "memory.max_usage_in_bytes"
        return int(_read(self.folders["memory"] / name) or 0) or None

    def memory_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        name = "memory.events" if self._is_v2 else "memory.oom_control"
        return _field(self.folders["memory"] / name, "oom_kill")

    def refused_processes(self) -> int:
        """How often a new process or thread was refused."""
        return _field(self.folders["pids"] / "pids.events", "max")

    def destroy(self) -> None:
        """Kill everything in it and remove it; nothing happens if it does not exist.

        Raises:
            CageError: A process outlives SIGKILL for ten seconds.
        """
        deadline = time.monotonic() + _DEATH_SECONDS
        while not self._removed():
            if time.monotonic() > deadline:
                raise CageError("a process of the cage does not die", hint="Look at it with ps; reboot if you must.")
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    def _removed(self) -> bool:
        for folder in self.distinct:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
                    raise
                return False
        return True


def of_process(where: Hierarchy, pid: int) -> Cgroup:
    """The cgroup that a process is in, which somebody else has made.

    Args:
        where: The machine's hierarchy.
        pid: The process, as this machine numbers it.

    Raises:
        CageError: It is in none that we see.
    """
    paths: dict[str, str] = {}
    for line in _read(Path(f"/proc/{pid}/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    names = dict.fromkeys(where.folders, "") if where.version > 1 else {name: name for name in where.folders}
    folders = {name: where.folders[name] / paths.get(key, "?") for name, key in names.items()}
    if not all(folder.is_dir() for folder in folders.values()):
        raise CageError("the cgroup of the cage is not to be seen", hint=_HINT)
    return Cgroup(where.version, folders)


def hierarchy(mounts: str | None = None) -> Hierarchy:
    """The hierarchy of this machine that can limit memory and processes.

    Args:
        mounts: Text in the form of `/proc/self/mountinfo`, which is read by default.

    Raises:
        CageError: There is none.
    """
    v1: dict[str, Path] = {}
    for kind, folder, options in _mounted(mounts if mounts is not None else _read(Path("/proc/self/mountinfo"))):
        if kind == "cgroup":
            v1 |= {controller: folder for controller in (*_NEEDED, *_OPTIONAL) if controller in options}
        elif set(_NEEDED) <= set(_read(folder / "cgroup.controllers").split()):
            _delegate(folder)
            return Hierarchy(2, dict.fromkeys(_NEEDED, folder))
    if not set(_NEEDED) <= v1.keys():
        raise CageError("this machine has no cgroups that limit memory and processes", hint=_HINT)
    return Hierarchy(1, v1)


def _mounted(mounts: str) -> Iterator[tuple[str, Path, list[str]]]:
    for line in mounts.splitlines():
        place, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            yield kind, Path(place.split()[4]), options.split(",")


def _delegate(root: Path) -> None:
    """Let children of the v2 root have the controllers, as container engines do when they nest."""
    switches = " ".join(f"+{controller}" for controller in _NEEDED)
    try:
        _write(root / "cgroup.subtree_control", switches)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise CageError(f"the cgroup hierarchy cannot be used: {error}", hint=_HINT) from error
        # In a container, our own processes sit in what looks like the root, and v2 wants them in a leaf.
        _move_processes(root, root / "mod209-rest")
        _write(root / "cgroup.subtree_control", switches)


def _move_processes(root: Path, leaf: Path) -> None:
    leaf.mkdir(exist_ok=True)
    for pid in _read(root / "cgroup.procs").split():
        with suppress(ProcessLookupError):
            _write(leaf / "cgroup.procs", pid)


def _limit_v1(group: Cgroup, limits: Limits) -> None:
    memory, pids = group.folders["memory"], group.folders["pids"]
    _write(memory / "memory.limit_in_bytes", limits.memory_bytes)
    swap = memory / "memory.memsw.limit_in_bytes"
    # A kernel that does not count swap lacks the file; then the cage must not swap at all.
    _write(*((swap, limits.memory_bytes) if swap.exists() else (memory / "memory.swappiness", 0)))
    _write(pids / "pids.max", limits.processes)


def _limit_v2(group: Cgroup, limits: Limits) -> None:
    folder = group.folders["memory"]
    _write(folder / "memory.max", limits.memory_bytes)
    if (swap := folder / "memory.swap.max").exists():
        _write(swap, 0)
    _write(folder / "pids.max", limits.processes)


def _write(path: Path, value: int | str) -> None:
    path.write_text(f"{value}\n")


def _read(path: Path) -> str:
    """The file's text; none if it, or the cgroup that it tells of, is gone."""
    try:
        return path.read_text()
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENODEV}:
            raise
        return ""


def _field(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
