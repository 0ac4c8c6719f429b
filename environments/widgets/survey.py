"""All visible questions of a lab, task by task, as matrix and progress show them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from environments.errors import CourseError
from environments.widgets.job import Job

if TYPE_CHECKING:
    from environments.lab.api import Lab
    from environments.lab.report import CheckReport
    from environments.probes import Observation


class Survey:
    """Asks the tasks in turn, and tells `on_news` of each.

    Attributes:
        reports: the answers so far, by task.
        since: when each task's questions were begun, by task.
        note: how it goes, in a sentence.
    """

    def __init__(self, lab: Lab, on_news: Callable[[], None]) -> None:
        self.lab = lab
        self.reports: dict[str, CheckReport] = {}
        self.since: dict[str, datetime] = {}
        self.note = "Nothing was asked yet."
        self._on_news = on_news
        self.job = Job(on_news)

    def begin(self) -> None:
        """Ask everything anew, in the background."""
        self.job.begin(self._ask_all)

    def cell(self, task: str, cloud: str) -> list[Observation]:
        """What one cloud answered to a task's questions."""
        report = self.reports.get(task)
        return [o for line in report.lines for o in line.observations if o.cloud == cloud] if report else []

    def _ask_all(self) -> None:
        began = time.monotonic()
        self.reports.clear()
        tasks = self.lab.spec.tasks
        self.note = "Stopped; what is missing was not asked."
        for number, task in enumerate(tasks, 1):
            self.job.heed()
            self._tell(f"Asking {task.id} ({number} of {len(tasks)}) …")
            self.since[task.id] = datetime.now(UTC)
            try:
                self.reports[task.id] = self.lab.check(task.id)
            except CourseError as error:
                self.note = f"{error.message} {error.hint}"
                return
        self.note = f"All asked in {time.monotonic() - began:.1f} s. Grading also asks what you cannot see."

    def _tell(self, note: str) -> None:
        before, self.note = self.note, note
        self._on_news()
        self.note = before if before.startswith("Stopped") else self.note
