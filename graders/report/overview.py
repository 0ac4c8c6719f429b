"""The page of a batch, for the instructor: `index.html`."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from environments.labspec import LabSpec
from environments.params import LEARNER_ID
from graders.report.criterion import MET, NOT_MET, OPEN, RULE, criterion
from graders.report.figures import alike, final_scores, histogram, most_failed, reason
from graders.report.pages import render, script
from graders.report.timing import Seconds, percentile, slow, step_times, totals
from graders.report.words import OUTCOMES, VERDICTS, Word
from graders.verdicts import Outcome, Results, SubmissionResult, SubmissionVerdict, score

HELD: Final = (SubmissionVerdict.TAMPERED, SubmissionVerdict.NOT_GRADED, SubmissionVerdict.PARTLY_GRADED)
COLUMNS: Final = (Outcome.FAILED, Outcome.PASSED, Outcome.NOT_GRADED, Outcome.TAMPERED)
TOP: Final = 10  # checks shown before one has to ask for more
QUARTILES: Final = {"Lowest": 0.0, "Lower quartile": 0.25, "Median": 0.5, "Upper quartile": 0.75, "Highest": 1.0}


@dataclass(frozen=True, kw_only=True)
class _Row:
    result: SubmissionResult
    verdict: Word
    criterion: Word
    page: str
    tasks: tuple[int | None, ...]
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Submissions of one verdict that are not final, by their reason."""

    word: Word
    count: int
    reasons: Mapping[str, list[_Row]]


def feedback_name(learner: str) -> str:
    """File name of a learner's page: theirs alone, whatever the learner is called."""
    if LEARNER_ID.fullmatch(learner):
        return f"{learner}.html"
    return f"_{hashlib.sha256(learner.encode()).hexdigest()[:16]}.html"


def overview_page(spec: LabSpec, results: Results, made: datetime, seconds: Seconds | None = None) -> str:
    """One self-contained HTML page: who needs a person, scores, criterion, checks, outliers, time, and every learner.

    Args:
        spec: the lab.
        results: the batch.
        made: when it was graded.
        seconds: by learner, wall time of each step, as far as it is known.
    """
    taken = seconds or {}
    rows = {row.result.learner: row for row in _rows(spec, results, totals(taken))}
    scores = final_scores(results.submissions)
    checks = most_failed(spec, results.submissions)
    return render(
        "overview.html",
        spec=spec,
        results=results,
        rows=list(rows.values()),
        groups=_groups(rows.values()),
        criterion_counts=_criterion_counts(rows.values()),
        rule=RULE,
        scores=scores,
        quartiles={name: percentile(scores, share) for name, share in QUARTILES.items()} if scores else {},
        buckets=histogram(scores, spec.points),
        failed=[check for check in checks[:TOP] if check.failed],
        others=[check for rank, check in enumerate(checks) if rank >= TOP or not check.failed],
        columns=[(outcome, OUTCOMES[outcome]) for outcome in COLUMNS],
        slow=[rows[who] for who in slow(taken)],
        zeros=[row for row in rows.values() if row.result.final and row.result.score == 0],
        alike=[(sha256, [rows[who] for who in learners]) for sha256, learners in alike(results.submissions)],
        times=step_times(taken),
        legend=_legend(results),
        script=script("table.js"),
        made=made,
    )


def _rows(spec: LabSpec, results: Results, taken: Mapping[str, float]) -> Iterable[_Row]:
    for submission in results.submissions:
        yield _Row(
            result=submission,
            verdict=VERDICTS[submission.verdict],
            criterion=criterion(spec, submission),
            page=f"feedback/{feedback_name(submission.learner)}",
            tasks=tuple(score(submission.of_task(task.id)) for task in spec.tasks),
            seconds=taken.get(submission.learner),
        )


def _groups(rows: Iterable[_Row]) -> list[_Group]:
    held = list(rows)
    return [group for verdict in HELD if (group := _group(verdict, held)).count]


def _group(verdict: SubmissionVerdict, rows: Iterable[_Row]) -> _Group:
    reasons: defaultdict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.result.verdict is verdict:
            reasons[reason(row.result)].append(row)
    return _Group(word=VERDICTS[verdict], count=sum(map(len, reasons.values())), reasons=reasons)


def _criterion_counts(rows: Iterable[_Row]) -> list[tuple[Word, int]]:
    counts = Counter(row.criterion for row in rows)
    return [(word, counts[word]) for word in (MET, NOT_MET, OPEN)]


def _legend(results: Results) -> list[tuple[Word, int]]:
    counts = Counter(submission.verdict for submission in results.submissions)
    return [(word, counts[verdict]) for verdict, word in VERDICTS.items()]
