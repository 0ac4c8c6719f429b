"""Watches a cage until it ends or breaks a limit; reads what comes out of it, within bounds."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from graders.cage.base import Limits, Status
from graders.cage.cgroup import Cgroup
from graders.cage.frames import Frame, FrameError, FrameReader, Kind, printable

_TICK_SECONDS: Final = 0.25  # how often CPU time is looked at
_CHUNK: Final = 1 << 16
_TAIL_BYTES: Final = 2000
_FRAMES: Final = 1000  # tiny frames would take much more memory here than they do on the pipe


@dataclass(frozen=True)
class Sources:
    """What comes out of a cage.

    Attributes:
        results: Descriptor of the results pipe.
        printed: Descriptor of what is printed.
        ended: Descriptor that is readable once the cage has ended, and all that it wrote can be read.
        is_over: Whether the program has ended, but its cage waits to be counted.
        let_go: Lets such a cage end.
    """

    results: int
    printed: int
    ended: int
    is_over: Callable[[], bool] = bool
    let_go: Callable[[], None] = lambda: None


@dataclass
class Ending:
    """How a cage ended, and what it said until then.

    `fell_silent` tells that nothing more can come out of it; `was_counted` that memory and processes were counted
    while the cage was there.
    """

    status: Status = Status.CRASHED
    reason: str = "the run ended before all notebooks were run"
    frames: list[Frame] = field(default_factory=list)
    printed: bytes = b""
    seconds: float = 0.0
    peak_memory_bytes: int | None = None
    memory_kills: int = 0
    refused_processes: int = 0
    fell_silent: bool = False
    was_counted: bool = False

    @property
    def tail(self) -> str:
        """The end of what was printed past the notebooks, on one line."""
        return printable(self.printed.decode("utf-8", "replace"))

    @property
    def began(self) -> bool:
        """Whether the program got as far as saying so."""
        return any(frame.kind is Kind.READY for frame in self.frames)


class _OverError(Exception):
    """Ends the watch."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def watch(
    sources: Sources, cgroup: Cgroup, limits: Limits, started: float, seen: Callable[[Frame], None] | None = None
) -> Ending:
    """Read until the program says that it is done, the cage ends, or a limit is broken.

    Args:
        sources: What to read.
        cgroup: The cage's cgroup.
        limits: Limits of wall time, CPU time and output.
        started: When the wall time began (`time.monotonic`).
        seen: Called with each frame.
    """
    ending = Ending()
    watcher = _Watcher(sources, cgroup, limits, started + limits.wall_seconds, ending, seen)
    try:
        watcher.run()
    except _OverError as over:
        ending.status, ending.reason = over.status, over.reason
    except FrameError as error:
        ending.reason = f"nonsense on the results pipe: {error}"
    if not ending.was_counted:
        watcher.count()
    if ending.status is Status.CRASHED and ending.memory_kills:
        ending.status, ending.reason = Status.KILLED, f"out of memory (limit {limits.memory_bytes >> 20} MiB)"
    return ending


@dataclass
class _Watcher:
    sources: Sources
    cgroup: Cgroup
    limits: Limits
    deadline: float
    ending: Ending
    seen: Callable[[Frame], None] | None
    spent: int = 0

    def __post_init__(self) -> None:
        self.reader = FrameReader(self.limits.output_bytes)

    def run(self) -> None:
        os.set_blocking(self.sources.results, False)
        os.set_blocking(self.sources.printed, False)
        with selectors.DefaultSelector() as selector:
            for source in (self.sources.results, self.sources.printed, self.sources.ended):
                selector.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(_TICK_SECONDS):
                    if key.fd == self.sources.ended:
                        self._drain()
                        self.ending.fell_silent = True
                        return
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
                self._check_time()
                if not self.ending.was_counted and self.sources.is_over():
                    self.count()
                    self.sources.let_go()

    def count(self) -> None:
        """Read what only the cage's cgroup knows, and only while it is there."""
        self.ending.was_counted = bool(self.cgroup.pids())
        self.ending.peak_memory_bytes = self.cgroup.peak_memory()
        self.ending.memory_kills = self.cgroup.memory_kills()
        self.ending.refused_processes = self.cgroup.refused_processes()

    def _drain(self) -> None:
        for source in (self.sources.printed, self.sources.results):
            while self._read(source):
                pass

    def _read(self, source: int) -> bool:
        """Take what is there; False if there is nothing, now (while draining) or ever."""
        data = b""
        with suppress(BlockingIOError):
            data = os.read(source, _CHUNK)
        self.spent += len(data)
        if self.spent > self.limits.output_bytes:
            raise _OverError(Status.OUTPUT_LIMIT, f"more than {self.limits.output_bytes >> 20} MiB of output")
        if source == self.sources.printed:
            self.ending.printed = (self.ending.printed + data)[-_TAIL_BYTES:]
        else:
            self._frames(data)
        return bool(data)

    def _frames(self, data: bytes) -> None:
        for frame in self.reader.feed(data):
            self.ending.frames.append(frame)
            if len(self.ending.frames) > _FRAMES:
                raise FrameError("too many frames")
            if self.seen:
                self.seen(frame)
            if frame.kind is Kind.DONE:
                raise _OverError(Status.FINISHED, "")

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise _OverError(Status.TIMEOUT, f"more than {self.limits.wall_seconds:g} s")
        if (used := self.cgroup.cpu_seconds()) is not None and used > self.limits.cpu_seconds:
            raise _OverError(Status.TIMEOUT, f"more than {self.limits.cpu_seconds:g} s of CPU time")
