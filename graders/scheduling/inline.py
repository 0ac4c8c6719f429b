"""One submission after another, in this process and on one footprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graders.grading import Graded, Setting, Task, grade_one
from graders.room import room
from graders.scheduling.pace import Pace


def in_turn(setting: Setting, tasks: Sequence[Task], pace: Pace) -> Iterator[Graded]:
    """What was graded, in the order of `tasks`; it ends early when the batch's time is up.

    Raises:
        CageError: the cage does not hold.
        FootprintError: no footprint could be started.
    """
    if pace.over:
        return
    pace.tell("proving the cage")
    setting.cage.prove()
    with room(setting.place, lambda text: pace.tell(f"starting a footprint: {text}")) as clean:
        clean.ready()
        pace.begin()
        for task in tasks:
            if pace.over:
                return
            clean.ready()
            pace.starting(task.learner)
            yield grade_one(setting, task, clean)
            pace.finished()
