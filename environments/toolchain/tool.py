"""What the toolchain hands out: a tool that is ready to run, and events on the way there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, Protocol

_MB: Final = 1_000_000
_HINT: Final = "Check the connection, or name a folder or mirror with the binaries in MOD209_TOOLS."

Source = Literal["path", "cache", "directory", "mirror", "release", "built"]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A binary of the right version.

    `source` says where this call found it; `origin` where it first came from (a path, a URL, or the Go that built it).
    """

    name: str
    version: str
    path: Path
    source: Source
    origin: str


class Stage(StrEnum):
    """What is happening to a tool."""

    WAITING = "waiting its turn"
    COPYING = "copying"
    DOWNLOADING = "downloading"
    UNAVAILABLE = "not available"
    BUILDING = "building from source"
    READY = "ready"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One step of getting `tool`: `done` of `total` bytes (downloads), packages (builds; total unknown), and a note."""

    tool: str
    stage: Stage
    done: int = 0
    total: int | None = None
    note: str = ""


class Progress(Protocol):
    """Told of every event, one at a time, but from several threads."""

    def __call__(self, event: Event, /) -> None:
        """Take note of `event`; what this raises ends the work on that tool."""


class UnavailableError(Exception):
    """One source does not have the tool, or what it has was refused; the next source is tried."""

    def __init__(self, reason: str, *, hint: str = _HINT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class CancelledError(Exception):
    """The caller was interrupted while this thread was at work."""


def words(event: Event) -> str:
    """The event in words for a person."""
    words: str = event.stage.value
    if event.stage is Stage.DOWNLOADING:
        whole = f" of {event.total / _MB:.1f}" if event.total else ""
        words += f": {event.done / _MB:.1f}{whole} MB"
    elif event.stage is Stage.BUILDING and event.done:
        words += f": {event.done} packages"
    return f"{words}: {event.note.splitlines()[0]}" if event.note else words
