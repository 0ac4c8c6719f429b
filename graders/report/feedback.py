"""The page that a learner gets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from environments.labspec import CheckSpec, LabSpec, TaskSpec
from graders.report.extras import Extras, outputs, shown_notes
from graders.report.pages import render
from graders.report.words import OUTCOMES, VERDICTS, Word
from graders.verdicts import CheckVerdict, Outcome, SubmissionResult, score


@dataclass(frozen=True, kw_only=True)
class _Check:
    spec: CheckSpec
    verdict: CheckVerdict
    word: Word

    @property
    def advice(self) -> str:
        return "" if self.verdict.outcome is Outcome.PASSED else self.verdict.message


@dataclass(frozen=True, kw_only=True)
class _Task:
    spec: TaskSpec
    score: int | None
    checks: tuple[_Check, ...]


def feedback_page(spec: LabSpec, provider: str, result: SubmissionResult, extras: Extras, made: datetime) -> str:
    """One self-contained HTML page: score, every check with its advice, notes of intake, and what the cells printed.

    Args:
        spec: the lab.
        provider: where it was graded.
        result: the learner's result.
        extras: what happened on the way; untrusted, shown as text only.
        made: when the batch was graded.
    """
    return render(
        "feedback.html",
        spec=spec,
        provider=provider,
        result=result,
        verdict=VERDICTS[result.verdict],
        tasks=_tasks(spec, result),
        notes=shown_notes(extras),
        notebooks=outputs(extras),
        made=made,
    )


def _tasks(spec: LabSpec, result: SubmissionResult) -> list[_Task]:
    verdicts = {check.id: check for check in result.checks}
    return [
        _Task(
            spec=task,
            score=score(result.of_task(task.id)),
            checks=tuple(
                _Check(spec=check, verdict=verdicts[check.id], word=OUTCOMES[verdicts[check.id].outcome])
                for check in task.checks
            ),
        )
        for task in spec.tasks
    ]
