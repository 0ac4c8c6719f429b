"""What a judge's process said, as verdicts: no clear word is never a pass."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from environments.labspec import LabSpec
from graders.judge.job import Line
from graders.verdicts import Asked, CheckVerdict, Outcome, judged

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict on every check of the lab, and by check the visible requests that it rests on."""

    checks: list[CheckVerdict]
    asked: Mapping[str, tuple[Asked, ...]]


def judgement(spec: LabSpec, said: bytes, ending: str) -> Judgement:
    """What a judge said, taken at its word as far as it is clear; `ending` is the reason where a verdict is missing."""
    lines = _lines(said)
    return Judgement(
        checks=_verdicts(spec, lines, ending), asked={line.check: line.asked for line in lines if line.asked}
    )


def _lines(said: bytes) -> list[Line]:
    found = []
    for raw in said.splitlines():
        try:
            found.append(Line.model_validate_json(raw))
        except ValidationError:
            log.error("the judge said something that is no verdict")
    return found


def _verdicts(spec: LabSpec, lines: Sequence[Line], ending: str) -> list[CheckVerdict]:
    by_check = {line.check: line for line in lines}
    counts = Counter(line.check for line in lines)
    verdicts = []
    for check in spec.checks:
        line = by_check.get(check.id)
        if line is None:
            verdicts.append(judged(spec, check.id, Outcome.NOT_GRADED, ending))
        elif counts[check.id] > 1:
            reason = "The judge gave more than one verdict on this check."
            verdicts.append(judged(spec, check.id, Outcome.NOT_GRADED, reason))
        else:
            verdicts.append(judged(spec, check.id, line.outcome, line.message, line.seconds, line.failed_on))
    return verdicts
