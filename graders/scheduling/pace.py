"""How far a batch is, and whether its time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

MINUTE = 60.0


class Pace:
    """Counts submissions, tells of each, and estimates when the last will be done from how long the others took.

    `seconds` is what the whole batch may take; None is without end.
    """

    def __init__(self, total: int, step: Callable[[str], None], seconds: float | None = None) -> None:
        self.total = total
        self.done = 0
        self.tell = step
        self._began = self._working = time.monotonic()
        self._seconds = seconds

    def begin(self) -> None:
        """Say that everything is ready, and the first submission is begun."""
        self._working = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the batch's time is up."""
        return self._seconds is not None and time.monotonic() - self._began > self._seconds

    def starting(self, learner: str) -> None:
        """Tell that a submission is begun, where one is graded after another."""
        self.tell(f"{learner} ({self.done + 1} of {self.total}){self._left()}")

    def finished(self) -> None:
        """Count one."""
        self.done += 1

    def counted(self, learner: str) -> None:
        """Count one, and tell how many are done, where they are graded side by side."""
        self.finished()
        self.tell(f"{self.done} of {self.total} graded, last {learner}{self._left()}")

    def _left(self) -> str:
        if not 0 < self.done < self.total:
            return ""
        seconds = (time.monotonic() - self._working) / self.done * (self.total - self.done)
        return f", about {_rounded(seconds)} left"


def _rounded(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{math.ceil(seconds / 10) * 10} s"
    return f"{math.ceil(seconds / MINUTE)} min"
