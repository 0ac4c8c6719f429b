"""Work that takes a while: in a thread, so that the kernel stays free, and stopped by a button or by Interrupt."""

from __future__ import annotations

import threading
from collections.abc import Callable

POLL_SECONDS = 0.1


class StoppedError(Exception):
    """Somebody asked for the end of the work."""


class Job:
    """Runs one piece of work at a time; `on_change` is told when it begins and when it has ended."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether work is under way."""
        return self._thread is not None

    def begin(self, work: Callable[[], None]) -> None:
        """Start `work` if nothing is under way; it should call `heed` between its steps."""
        if self._thread:
            return
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the work to end after its present step."""
        self._stopping.set()

    def heed(self, _: str = "") -> None:
        """End here if somebody asked for it.

        Raises:
            StoppedError: they did.
        """
        if self._stopping.is_set():
            raise StoppedError

    def wait(self) -> None:
        """Wait for the work; Interrupt (Ctrl-C) stops it and is then done with."""
        while thread := self._thread:
            try:
                thread.join(POLL_SECONDS)
            except KeyboardInterrupt:
                self.stop()

    def _run(self, work: Callable[[], None]) -> None:
        self._on_change()
        try:
            work()
        except StoppedError:
            pass
        finally:
            self._thread = None
            self._on_change()
