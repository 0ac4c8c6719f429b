"""One program in a cage of its own, whichever cage: started, watched until it ends or breaks a limit, and removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from graders.cage import slots
from graders.cage.base import Limits
from graders.cage.cgroup import Cgroup
from graders.cage.frames import Frame
from graders.cage.watch import Ending, Sources, watch

_OPEN_FILES: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run in a cage.

    Attributes:
        source: A stand-alone Python script; its arguments are the descriptors of `payload` and of the results pipe.
        payload: Bytes for it, given the caged uid.
        limits: What it may use.
        ports: Granted ports.
        course: A lab's public folder.
        packages: Whether it needs the packages of the virtual environment.
    """

    source: str
    payload: Callable[[int], bytes]
    limits: Limits
    ports: Sequence[int] = ()
    course: Path | None = None
    packages: bool = True

    @property
    def flags(self) -> tuple[str, ...]:
        """Options for its interpreter: nothing from the user's folders, and packages only if it needs them."""
        return ("-I",) if self.packages else ("-I", "-S")


@dataclass(frozen=True)
class Confined:
    """A running cage.

    Attributes:
        slot: Its number, and so its user.
        cgroup: What counts and limits all its processes.
        first: Host's pid of the first process in its pid namespace, whose end ends them all.
        sources: What comes out of it.
        examine: Called with how it ended while it is still there: raises CageError where that was not the run's own
            doing, and may say more of the end.
    """

    slot: slots.Slot
    cgroup: Cgroup
    first: int
    sources: Sources
    examine: Callable[[Ending], None] = field(default=lambda _ending: None)


# Starts a program in a cage, and removes the cage however the context ends.
Start = Callable[[slots.Slot, Program], AbstractContextManager[Confined]]


def confine(start: Start, program: Program, seen: Callable[[Confined, Frame], None] | None = None) -> Ending:
    """Run a program in a cage of its own and wait for its end; nothing of it is left afterwards.

    Args:
        start: How the cage is made.
        program: What to run.
        seen: Called with each frame while the cage is still there.

    Raises:
        CageError: The cage could not be made, broke, or could not be removed.
    """
    started = time.monotonic()
    with slots.reserved() as slot, start(slot, program) as confined:
        tell = partial(seen, confined) if seen else None
        ending = watch(confined.sources, confined.cgroup, program.limits, started, tell)
        confined.examine(ending)
    ending.seconds = time.monotonic() - started
    return ending


def rlimits(limits: Limits) -> dict[str, int]:
    """Limits of each process, by their names."""
    return {
        "cpu": int(limits.cpu_seconds) + 1,
        "nproc": limits.processes,
        "fsize": limits.file_bytes,
        "nofile": _OPEN_FILES,
        "core": 0,
    }
