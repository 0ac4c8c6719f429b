"""The getting of one tool: what each source needs to know, and the test that every binary passes before it counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from environments.toolchain.catalog import Arch, ToolSpec
from environments.toolchain.store import Slot
from environments.toolchain.tool import CancelledError, Event, Source, Stage, Tool, UnavailableError
from environments.toolchain.version import ask


@dataclass(frozen=True, kw_only=True)
class Task:
    """One tool that is to be had for this machine; `cancel` is set when the caller gives up."""

    name: str
    spec: ToolSpec
    arch: Arch
    cancel: threading.Event
    tell: Callable[[Event], None]

    @property
    def slot(self) -> Slot:
        """The tool's place in the cache."""
        return Slot(self.name, self.spec.version)

    def report(self, stage: Stage, done: int = 0, total: int | None = None, note: str = "") -> None:
        """Tell the caller's progress; every report is also a place to stop at.

        Raises:
            CancelledError: the caller has given up.
        """
        if self.cancel.is_set():
            raise CancelledError
        self.tell(Event(tool=self.name, stage=stage, done=done, total=total, note=note))

    def waiting(self) -> None:
        """Report that another process or build holds what this task needs."""
        self.report(Stage.WAITING)

    def accept(self, partial: Path, *, source: Source, origin: str) -> Tool:
        """Install the binary at `partial` if it runs and has the right version.

        Raises:
            UnavailableError: it does not run, or is another version.
        """
        partial.chmod(0o755)
        answer = ask(partial, self.spec)
        if answer is None:
            raise UnavailableError(f"the file from {origin} does not run as {self.name}")
        if answer != self.spec.version:
            raise UnavailableError(f"{origin} is version {answer}, not {self.spec.version}")
        return self.slot.install(partial, source=source, origin=origin)
