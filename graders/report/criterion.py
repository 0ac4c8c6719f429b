"""Whether a learner has met the lab's completion criterion."""

from __future__ import annotations

from typing import Final

from environments.labspec import LabSpec, TaskSpec
from environments.platform import platform
from graders.report.words import Word
from graders.verdicts import Outcome, SubmissionResult, SubmissionVerdict

NEEDED: Final = 0.7  # of a task's points, on the cloud where it holds least
OPEN_SHARE: Final = 0.1  # of a lab's points that may be without a verdict
RULE: Final = (
    "A learner has met it when every check marked critical has passed, and each task reaches 70 % of its points on its "
    "worst cloud. What could not be graded is left out, up to a tenth of the points."
)
MET: Final = Word("✓", "Met", "Every critical check has passed, and each task holds on its worst cloud.", "good")
NOT_MET: Final = Word(
    "✗", "Not met", "A critical check has not passed, or a task does not reach 70 % on a cloud.", "bad"
)
OPEN: Final = Word("○", "Open", "Too much has no verdict yet, so nobody can say.", "open")


def criterion(spec: LabSpec, result: SubmissionResult) -> Word:
    """`MET`, `NOT_MET` or `OPEN`."""
    critical = {check.id for check in spec.checks if check.critical}
    undecided = [check for check in result.checks if check.outcome is Outcome.NOT_GRADED]
    if result.verdict is SubmissionVerdict.TAMPERED:
        return OPEN
    if any(check.outcome is Outcome.FAILED and check.id in critical for check in result.checks):
        return NOT_MET
    if critical & {check.id for check in undecided}:
        return OPEN
    if sum(check.points for check in undecided) > OPEN_SHARE * spec.points:
        return OPEN
    return NOT_MET if shortfalls(spec, result) else MET


def shortfalls(spec: LabSpec, result: SubmissionResult) -> list[str]:
    """A sentence for each task that does not reach what is needed on its worst cloud."""
    worst = [(task, *_worst(task, result)) for task in spec.tasks]
    return [
        f"{task.id} reaches {share:.0%} of its points on {cloud}; {NEEDED:.0%} are needed."
        for task, share, cloud in worst
        if share < NEEDED
    ]


def _worst(task: TaskSpec, result: SubmissionResult) -> tuple[float, str]:
    """The smallest share of a task's graded points that hold on one cloud, and that cloud; all of it if none was graded."""
    graded = [check for check in result.of_task(task.id) if check.outcome is not Outcome.NOT_GRADED]
    points = sum(check.points for check in graded)
    held = {
        cloud: sum(check.points for check in graded if check.holds_on(cloud)) for cloud in sorted(platform().clouds)
    }
    cloud = min(held, key=lambda name: held[name])
    return (held[cloud] / points if points else 1.0), cloud
