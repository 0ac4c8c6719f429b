"""Whether a learner has met the lab's completion criterion."""

from __future__ import annotations

from typing import Final

from environments.labspec import LabSpec
from graders.report.words import Word
from graders.verdicts import Outcome, SubmissionResult

RULE: Final = "A learner has met it when the submission is finally graded and every check marked critical has passed."
MET: Final = Word("✓", "Met", "Finally graded, and every critical check has passed.", "good")
NOT_MET: Final = Word("✗", "Not met", "A critical check has not passed.", "bad")
OPEN: Final = Word("○", "Open", "The submission is not finally graded, so nobody can say yet.", "open")


def criterion(spec: LabSpec, result: SubmissionResult) -> Word:
    """`MET`, `NOT_MET` or `OPEN`."""
    critical = {check.id for check in spec.checks if check.critical}
    outcomes = {check.outcome for check in result.checks if check.id in critical}
    if Outcome.FAILED in outcomes:
        return NOT_MET
    return MET if result.final else OPEN
