"""What the course teaches about a check beside its questions: what it is for, where to read, and hints in three steps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from environments.yamlfile import Strict, load_yaml

STEPS = 3


class Guide(Strict):
    """One check's control, the attacker's technique that it stops, where to read, and three hints."""

    control: str = Field(min_length=1)
    technique: str = Field(min_length=1)
    reading: list[str] = Field(min_length=1)
    hints: list[str] = Field(min_length=STEPS, max_length=STEPS)


class GuideFile(Strict):
    """The whole of a `hints/zt-N.yaml`: the guide of each check of one task."""

    schema_: Literal[1] = Field(alias="schema")
    task: str
    checks: dict[str, Guide]


@cache
def load_guides(course: Path, slug: str, task: str) -> dict[str, Guide]:
    """Guides of a task by check; none if the course has none.

    Raises:
        BadInputError: the file is damaged.
    """
    path = course / "labs" / slug / "hints" / f"{task.lower()}.yaml"
    return dict(load_yaml(path, GuideFile).checks) if path.is_file() else {}


class Hint(str):
    """A hint as a notebook shows it: as the sentence that it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Hints:
    """Which hint comes next, for each check."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def next(self, check: str, guide: Guide) -> Hint:
        """The next hint about a check; after the last one they begin anew."""
        step = self._given.get(check, 0) % STEPS
        self._given[check] = step + 1
        more = "ask again for the next" if step + 1 < STEPS else "that was the last; asking again begins anew"
        return Hint(f"{check}, hint {step + 1} of {STEPS}: {guide.hints[step]}\n({more})")
