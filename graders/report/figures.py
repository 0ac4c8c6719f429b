"""Figures of a class: how scores are spread, which checks fail most, who handed in the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from environments.handin.untrusted import one_line
from environments.labspec import CheckSpec, LabSpec
from graders.verdicts import CheckVerdict, Outcome, SubmissionResult

PARTS: Final = 10
MAX_REASON: Final = 600
_WITHOUT_VERDICT: Final = (Outcome.NOT_GRADED, Outcome.TAMPERED)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """How many final scores lie from `low` to `high` points, both included."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, kw_only=True)
class CheckFigure:
    """One check over the class."""

    spec: CheckSpec
    counts: dict[Outcome, int]

    @property
    def failed(self) -> int:
        """Submissions that did not pass it."""
        return self.counts[Outcome.FAILED]

    @property
    def judged(self) -> int:
        """Submissions on which there is a verdict of the judge."""
        return self.failed + self.counts[Outcome.PASSED]

    @property
    def share(self) -> float:
        """Which part of the judged submissions did not pass it."""
        return self.failed / self.judged if self.judged else 0.0


def final_scores(results: Iterable[SubmissionResult]) -> list[int]:
    """Scores that may stand, in ascending order."""
    return sorted(result.score for result in results if result.final and result.score is not None)


def histogram(scores: Sequence[int], most: int) -> list[Bucket]:
    """`scores` of 0 to `most` points in tenths of what can be had, full marks apart."""
    counts = Counter(PARTS * score // most for score in scores)
    lows = [-(-part * most // PARTS) for part in range(PARTS + 2)]
    return [
        Bucket(low=low, high=min(most, following - 1), count=counts[part])
        for part, (low, following) in enumerate(pairwise(lows))
        if low < following
    ]


def most_failed(spec: LabSpec, results: Sequence[SubmissionResult]) -> list[CheckFigure]:
    """Every check, those first that the largest share of the judged submissions did not pass."""
    found = Counter((check.id, check.outcome) for result in results for check in result.checks)
    figures = [
        CheckFigure(spec=check, counts={outcome: found[check.id, outcome] for outcome in Outcome})
        for check in spec.checks
    ]
    return sorted(figures, key=lambda figure: -figure.share)


def alike(results: Iterable[SubmissionResult]) -> list[tuple[str, list[str]]]:
    """SHA-256 of each submission that more than one learner handed in, byte for byte, with those learners."""
    learners: defaultdict[str, list[str]] = defaultdict(list)
    for result in results:
        if result.sha256:
            learners[result.sha256].append(result.learner)
    return [(sha256, who) for sha256, who in learners.items() if len(who) > 1]


def reason(result: SubmissionResult) -> str:
    """Why a submission is not finally graded, on one line: its error, or what its checks say and which they are."""
    if result.error:
        return one_line(result.error, MAX_REASON)
    by_message: defaultdict[str, list[CheckVerdict]] = defaultdict(list)
    for check in result.checks:
        if check.outcome in _WITHOUT_VERDICT:
            by_message[check.message].append(check)
    parts = [f"{message} ({', '.join(check.id for check in checks)})" for message, checks in by_message.items()]
    return one_line(" ".join(parts), MAX_REASON)
