"""What a check sees: the observations of its probes, and the demands it can make of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from environments.probes.observation import Observation

REASONS: Final = 4  # why requests could not be asked, at most; they are mostly the same
Decision = Literal["allowed", "refused", "bounded"]


class NotHeldError(AssertionError):
    """The platform did not answer as it must; the text may be shown to the learner."""


class CannotJudgeError(Exception):
    """There is no telling whether the check holds, and that is not the learner's fault."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The observations of one check, on the clouds that it must hold on."""

    clouds: Sequence[str]
    observations: Sequence[Observation]

    def demand(self, *decisions: Decision) -> None:
        """Demand that every request was answered as expected, and that each of `decisions` was asked for on every cloud.

        Raises:
            NotHeldError: at least one answer was wrong.
            CannotJudgeError: none was wrong, but something could not be asked.
        """
        if wrong := [seen for seen in self.observations if seen.ok is False]:
            raise NotHeldError(describe(wrong))
        if unasked := [seen for seen in self.observations if seen.ok is None]:
            raise CannotJudgeError(_gaps(unasked))
        for decision in decisions:
            self._demand_asked(decision)

    def _demand_asked(self, decision: Decision) -> None:
        # Without this a check whose probes have gone missing would hold for want of anything to object to.
        asked = {seen.cloud for seen in self.observations if decision_of(seen) == decision}
        if missing := [cloud for cloud in self.clouds if cloud not in asked]:
            raise CannotJudgeError(f"Nothing that must be {decision} was asked on {', '.join(missing)}.")


def decision_of(seen: Observation) -> Decision:
    """What kind of answer was expected."""
    first = seen.expected.split(maxsplit=1)[0]
    return "allowed" if first == "allowed" else "refused" if first == "refused" else "bounded"


def describe(wrong: Iterable[Observation]) -> str:
    """What was wrong, for a learner: how many requests that the self-check shows too, and on which clouds any.

    What was sent, expected and came back of the former is on the learner's page; of hidden ones nothing is told.
    """
    failing = list(wrong)
    visible, hidden = ([seen for seen in failing if seen.visible is shown] for shown in (True, False))
    lines = []
    if visible:
        count = f"{len(visible)} requests" if len(visible) > 1 else "One request"
        lines.append(f"{count} that the self-check shows too: not answered as must be on {_clouds(visible)}.")
    if hidden:
        lines.append(f"Requests that the self-check does not show: not answered as must be on {_clouds(hidden)}.")
    return "\n".join(lines)


def _clouds(seen: Iterable[Observation]) -> str:
    return ", ".join(sorted({one.cloud for one in seen}))


def _gaps(unasked: Sequence[Observation]) -> str:
    reasons = sorted({seen.detail for seen in unasked if seen.visible})
    return " ".join([f"{len(unasked)} requests could not be asked on {_clouds(unasked)}.", *reasons[:REASONS]])
