"""What the judge's process is told, and what it answers: plain JSON both ways."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from environments.access import Access
from environments.labspec import Capability, LabSpec
from environments.probes.model import AnyProbe
from environments.yamlfile import Strict
from graders.verdicts import Asked, Outcome

VERDICTS: Final = 3  # the descriptor that a judge says its verdicts on
MESSAGE_BYTES: Final = 1 << 16  # what asks for a judge, or says how one ended, is far shorter
STOP: Final = b"stop"


class Job(Strict):
    """One footprint to judge. `seed` (hex) draws what hidden probes ask."""

    access: Access
    spec: LabSpec
    probes: list[AnyProbe]
    capabilities: frozenset[Capability]
    seed: str = Field(pattern=r"^([0-9a-f]{2})*$")


class Line(Strict):
    """The verdict of one check, as the judge's process says it; `asked` are the visible requests behind it.

    `failed_on` are the clouds where it does not hold, if it failed.
    """

    check: str
    outcome: Annotated[Outcome, Field(description="never `tampered`: that is found before anything is judged")]
    message: str
    seconds: float = Field(ge=0, allow_inf_nan=False)
    asked: tuple[Asked, ...] = ()
    failed_on: tuple[str, ...] = ()
