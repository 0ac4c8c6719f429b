"""The page that a learner gets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from environments.labspec import CheckSpec, LabSpec, TaskSpec
from graders.report.asked import Exchanges, exchanges
from graders.report.criterion import RULE, criterion, shortfalls
from graders.report.extras import Extras, outputs, shown_notes
from graders.report.pages import render
from graders.report.words import OUTCOMES, VERDICTS, Word
from graders.verdicts import CheckVerdict, Outcome, SubmissionResult, score


@dataclass(frozen=True, kw_only=True)
class _Check:
    spec: CheckSpec
    verdict: CheckVerdict
    word: Word
    asked: Exchanges

    @property
    def passed(self) -> bool:
        return self.verdict.outcome is Outcome.PASSED

    @property
    def advice(self) -> str:
        return "" if self.passed else self.verdict.message


@dataclass(frozen=True, kw_only=True)
class _Task:
    spec: TaskSpec
    score: int | None
    checks: tuple[_Check, ...]


def feedback_page(spec: LabSpec, provider: str, result: SubmissionResult, extras: Extras, made: datetime) -> str:
    """One self-contained HTML page: score, checks with advice and requests, notes, what the cells printed.

    Args:
        spec: the lab.
        provider: where it was graded.
        result: the learner's result.
        extras: what happened on the way; untrusted, shown as text only.
        made: when the batch was graded.
    """
    tasks = _tasks(spec, result, extras)
    return render(
        "feedback.html",
        spec=spec,
        provider=provider,
        result=result,
        verdict=VERDICTS[result.verdict],
        criterion=criterion(spec, result),
        rule=RULE,
        shortfalls=shortfalls(spec, result) if result.final else [],
        tasks=tasks,
        failed=_failed(tasks),
        notes=shown_notes(extras),
        notebooks=outputs(extras),
        made=made,
    )


def _failed(tasks: list[_Task]) -> list[_Check]:
    """What did not pass, the critical ones first."""
    failed = [check for task in tasks for check in task.checks if check.verdict.outcome is Outcome.FAILED]
    return sorted(failed, key=lambda check: not check.spec.critical)


def _tasks(spec: LabSpec, result: SubmissionResult, extras: Extras) -> list[_Task]:
    verdicts = {check.id: check for check in result.checks}
    return [
        _Task(
            spec=task,
            score=score(result.of_task(task.id)),
            checks=tuple(_check(check, verdicts[check.id], extras) for check in task.checks),
        )
        for task in spec.tasks
    ]


def _check(spec: CheckSpec, verdict: CheckVerdict, extras: Extras) -> _Check:
    asked = exchanges(extras.asked.get(spec.id, ()))
    return _Check(spec=spec, verdict=verdict, word=OUTCOMES[verdict.outcome], asked=asked)
