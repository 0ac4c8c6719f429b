"""The page of a batch, for the instructor: `index.html`."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from environments.labspec import CheckSpec, LabSpec
from environments.params import LEARNER_ID
from graders.report.pages import render
from graders.report.words import NO_POINTS, OUTCOMES, VERDICTS, Word
from graders.verdicts import Outcome, Results, SubmissionResult, score


@dataclass(frozen=True, kw_only=True)
class _Row:
    result: SubmissionResult
    verdict: Word
    page: str
    tasks: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class _CheckRow:
    spec: CheckSpec
    counts: dict[Outcome, int]


def feedback_name(learner: str) -> str:
    """File name of a learner's page: theirs alone, whatever the learner is called."""
    if LEARNER_ID.fullmatch(learner):
        return f"{learner}.html"
    return f"_{hashlib.sha256(learner.encode()).hexdigest()[:16]}.html"


def overview_page(spec: LabSpec, results: Results, made: datetime) -> str:
    """One self-contained HTML page: what was graded, learners by tasks, who needs a person, checks over all."""
    verdicts = Counter(submission.verdict for submission in results.submissions)
    scores = [
        submission.score for submission in results.submissions if submission.final and submission.score is not None
    ]
    return render(
        "overview.html",
        spec=spec,
        results=results,
        rows=[_row(spec, submission) for submission in results.submissions],
        held=[_row(spec, submission) for submission in results.submissions if not submission.final],
        legend=[(word, verdicts[verdict]) for verdict, word in VERDICTS.items()],
        median=f"{median(scores):g}" if scores else NO_POINTS,
        checks=[_check_row(check, results) for check in spec.checks],
        outcomes=OUTCOMES,
        made=made,
    )


def _row(spec: LabSpec, submission: SubmissionResult) -> _Row:
    return _Row(
        result=submission,
        verdict=VERDICTS[submission.verdict],
        page=f"feedback/{feedback_name(submission.learner)}",
        tasks=tuple(score(submission.of_task(task.id)) for task in spec.tasks),
    )


def _check_row(spec: CheckSpec, results: Results) -> _CheckRow:
    found = Counter(
        check.outcome for submission in results.submissions for check in submission.checks if check.id == spec.id
    )
    return _CheckRow(spec=spec, counts={outcome: found[outcome] for outcome in Outcome})
