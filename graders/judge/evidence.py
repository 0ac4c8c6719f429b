"""What a check sees: the observations of its probes, and the demands it can make of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from environments.probes.observation import Observation

SHOWN: Final = 1  # failing requests quoted in a verdict's message; the learner's page shows more, and in a better form
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
    """What was wrong, for a learner: visible requests in full, of hidden ones only on which clouds."""
    failing = list(wrong)
    visible = [seen for seen in failing if seen.visible]
    hidden = sorted({seen.cloud for seen in failing if not seen.visible})
    lines = [_line(seen) for seen in visible[:SHOWN]]
    if len(visible) > SHOWN:
        lines.append(f"… and {len(visible) - SHOWN} more that the self-check shows too.")
    if hidden:
        lines.append(
            f"Requests that the self-check does not show were not answered as they must be on {', '.join(hidden)}."
        )
    return "\n".join(lines)


def _line(seen: Observation) -> str:
    detail = f" ({seen.detail})" if seen.detail else ""
    return f"On {seen.cloud}: {seen.request}. Expected: {seen.expected}. Got: {seen.got}{detail}. {seen.why}"


def _gaps(unasked: Sequence[Observation]) -> str:
    clouds = ", ".join(sorted({seen.cloud for seen in unasked}))
    reasons = sorted({seen.detail for seen in unasked if seen.visible})
    return " ".join([f"{len(unasked)} requests could not be asked on {clouds}.", *reasons[:SHOWN]])
