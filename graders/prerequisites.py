"""One slip is not paid twice: what stands on a task that failed is judged once more, on the reference's version of it.

The reference's notebooks of those tasks run first, in a cage of their own, then the learner's other notebooks. A check of
a task that stands on them counts as passed if it passes in either run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from environments.handin.notebook import parse_release, render
from environments.labspec import LabSpec, TaskSpec
from graders.verdicts import CheckVerdict, Outcome


def slipped(spec: LabSpec, checks: Iterable[CheckVerdict], answered: Collection[str]) -> set[str]:
    """Tasks that failed in part or whole and that another task stands on, which failed too and is `answered`."""
    failed = {check.task for check in checks if check.outcome is Outcome.FAILED}
    needy = [task for task in spec.tasks if task.id in failed and task.id in answered]
    return failed & {base for task in needy for base in bases(spec, task)}


def bases(spec: LabSpec, task: TaskSpec) -> set[str]:
    """All tasks that `task` stands on, through others too."""
    direct = set(task.prerequisites)
    return direct.union(*(bases(spec, spec.task(name)) for name in direct))


def answered(spec: LabSpec, release: Path, work: Path, ran: Collection[str]) -> set[str]:
    """Tasks whose notebook has run, and is not in the staged `work` as it was released."""
    return {
        task.id
        for task in spec.tasks
        if task.notebook in ran
        and (work / task.notebook).read_bytes() != render(parse_release((release / task.notebook).read_bytes()))
    }


def standing(spec: LabSpec, checks: Iterable[CheckVerdict], replaced: Collection[str]) -> set[str]:
    """Tasks that have not passed whole and stand on one that is `replaced`, which they are not themselves."""
    wanting = {check.task for check in checks if check.outcome is not Outcome.PASSED}
    return {task.id for task in spec.tasks if task.id in wanting and bases(spec, task) & set(replaced)} - set(replaced)


def redeemed(
    first: Iterable[CheckVerdict], second: Iterable[CheckVerdict], tasks: Collection[str]
) -> list[CheckVerdict]:
    """The better of two verdicts for `tasks`; for others the first."""
    passed = {check.id: check for check in second if check.task in tasks and check.outcome is Outcome.PASSED}
    return [passed.get(check.id, check) for check in first]
