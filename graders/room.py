"""A footprint and a judge, kept warm between submissions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from environments.errors import FootprintError
from environments.footprint import Footprint, Progress, silent, temporary
from graders.judge import Judge


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which footprint: a lab's, of the course in a folder, on a provider, with a policy engine beside OPA or none."""

    course: Path
    lab: str
    provider: str = "local"
    engine: str = ""


class Room:
    """A footprint and a judge for one submission after another; both are started when first asked for, and anew if they broke."""

    def __init__(self, place: Place, progress: Progress = silent) -> None:
        self._place = place
        self._progress = progress
        self._closed = False
        self._running = ExitStack()
        self._footprint: Footprint | None = None
        self._judge: Judge | None = None

    def ready(self) -> Footprint:
        """The footprint that runs; it is started if none does.

        Raises:
            FootprintError: none could be started, or the room is closed.
        """
        if self._closed:
            raise _closed()
        if self._judge is None:
            self._judge = Judge()  # imports its libraries while the servers start
        if self._footprint is None:
            self._footprint = self._start()
        return self._footprint

    def _start(self) -> Footprint:
        """A server that falls over while it starts shall not end a class: there is a second attempt."""
        try:
            return self._running.enter_context(self._temporary())
        except FootprintError as error:
            self._progress(f"{error.message.splitlines()[0]} Starting once more.")
        return self._running.enter_context(self._temporary())

    def _temporary(self) -> AbstractContextManager[Footprint]:
        place = self._place
        return temporary(
            place.lab, progress=self._progress, provider=place.provider, course=place.course, engine=place.engine
        )

    @property
    def judge(self) -> Judge:
        """The judge of a room that is ready; not for two submissions at once."""
        if self._judge is None:
            raise _closed()
        return self._judge

    def renew(self) -> None:
        """Stop the footprint because it broke."""
        self._footprint = None
        self._running.close()

    def close(self) -> None:
        """Stop everything, also under a submission that is being graded."""
        self._closed = True
        self.renew()
        if self._judge is not None:
            self._judge.close()
            self._judge = None


def _closed() -> FootprintError:
    return FootprintError("The grader was stopped.", hint="Run the same command again: it carries on.")


@contextmanager
def room(place: Place, progress: Progress = silent) -> Iterator[Room]:
    """A room for as long as the context lasts."""
    made = Room(place, progress)
    try:
        yield made
    finally:
        made.close()
