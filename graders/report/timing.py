"""Where a batch's time went, and which submissions took far longer than the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

STEPS: Final = {
    "reset": "a clean platform for the learner",
    "cage": "the notebooks run in the cage",
    "settle": "rights withdrawn, baseline compared",
    "judge": "probes sent, checks decided",
}
WHOLE: Final = "all steps"
FLOOR: Final = 10.0  # seconds beyond the median that nobody needs to look at, however alike the others are
FEWEST: Final = 5  # with fewer there is no telling what is usual

Seconds = Mapping[str, Mapping[str, float]]
"""By learner, wall time of each step that was taken."""


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One step's wall time in seconds over the batch; `slowest` is the learner of the longest."""

    name: str
    meaning: str
    count: int
    p50: float
    p95: float
    longest: float
    slowest: str


def step_times(seconds: Seconds) -> list[StepTime]:
    """Times of each step that was taken at least once, in the order of the steps, and of all of them together."""
    by_step = {step: {who: took[step] for who, took in seconds.items() if step in took} for step in STEPS}
    found = [_of_step(step, STEPS[step], took) for step, took in by_step.items() if took]
    return [*found, _of_step(WHOLE, "", totals(seconds))] if found else []


def totals(seconds: Seconds) -> dict[str, float]:
    """Seconds of all steps together, of each learner for whom at least one was taken."""
    return {who: sum(took.values()) for who, took in seconds.items() if took}


def slow(seconds: Seconds) -> dict[str, float]:
    """Learners whose submissions took far longer than the rest, slowest first, with their seconds."""
    took = totals(seconds)
    if len(took) < FEWEST:
        return {}
    values = sorted(took.values())
    spread = percentile(values, 0.75) - percentile(values, 0.25)
    limit = percentile(values, 0.5) + max(3 * spread, FLOOR)
    return {who: took[who] for who in sorted(took, key=took.__getitem__, reverse=True) if took[who] > limit}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of `ordered` (ascending, not empty) that at least `share` (0 to 1) of them do not exceed."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def _of_step(name: str, meaning: str, took: Mapping[str, float]) -> StepTime:
    ordered = sorted(took.values())
    return StepTime(
        name=name,
        meaning=meaning,
        count=len(ordered),
        p50=percentile(ordered, 0.5),
        p95=percentile(ordered, 0.95),
        longest=ordered[-1],
        slowest=max(took, key=took.__getitem__),
    )
