"""The hostile corpus as data: one folder a case, whose `case.yaml` holds the submission and says what must happen."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from environments.yamlfile import Strict, load_yaml
from graders.tests import small
from graders.tests.hostile.builders import BUILDERS, Place
from graders.tests.hostile.canaries import Canaries
from graders.verdicts import SubmissionVerdict

HERE: Final = Path(__file__).parent
TARGETS: Final = "targets.json"
# No line of a case does anything outside of a cage, wherever it is pasted.
GUARD: Final = 'import os, sys; os.path.isdir("/opt/course/labs") or sys.exit("only in a cage")\n'
PRELUDE: Final = (HERE / "prelude.txt").read_text()


class Expected(Strict):
    """What must come of a case.

    Attributes:
        verdict: The submission's.
        failing: Checks that earn nothing; all others pass. Where nothing is graded, or all is tampered with, none is said.
        error: Words of the result's error.
        page: Words of the learner's page.
        attempts: How many attempts at least the executed notebook reports; every one of them was stopped.
    """

    verdict: SubmissionVerdict = SubmissionVerdict.GRADED
    failing: list[str] = Field(default_factory=list)
    error: list[str] = Field(default_factory=list)
    page: list[str] = Field(default_factory=list)
    attempts: int = Field(default=0, ge=0)


class CaseFile(Strict):
    """The whole of a `case.yaml`: the right answer or none, cells of its own before and after it, and files beside it.

    `policy` takes the place of the right policy. `build` names a function of `builders.py` for what no repository can
    hold. `learner` is the folder's name, where that is the attack. `cages` is `one` where a cage has no say, since the
    case is about files handed in, what runs in the kernel, servers or judge: it would come out the same on each.
    """

    schema_: Literal[1] = Field(alias="schema")
    title: str
    why: str
    kind: Literal["hostile", "innocent"]
    cages: Literal["each", "one"] = "each"
    work: Literal["right", "none"] = "right"
    policy: str = ""
    before: list[str] = Field(default_factory=list)
    after: list[str] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)
    build: str = ""
    learner: str = ""
    expected: Expected

    @field_validator("build")
    @classmethod
    def _known(cls, value: str) -> str:
        if value and value not in BUILDERS:
            raise ValueError(f"builders.py has no {value!r}")
        return value


class Case(CaseFile):
    """A case and its name."""

    name: str


def load_cases() -> list[Case]:
    """Every case, by name."""
    found = []
    for path in sorted(HERE.glob("*/case.yaml")):
        file = load_yaml(path, CaseFile)
        found.append(Case(name=path.parent.name, **file.model_dump(by_alias=True)))
    return found


def hand_in(case: Case, submitted: Path, canaries: Canaries) -> None:
    """Hand a case in for a learner called like it."""
    learner = case.learner or case.name
    files: dict[str, str | bytes] = dict(case.files)
    if case.kind == "hostile":
        files[TARGETS] = json.dumps(canaries.targets())
    folder = small.hand_in(submitted, learner, notebook(case), files)
    if case.build:
        BUILDERS[case.build](Place(folder=folder, notebook=folder / small.NOTEBOOK, submitted=submitted))


def notebook(case: Case) -> dict[str, Any]:
    """The case's notebook; a hostile one tells its attempts, and does nothing outside of a cage."""
    answers = {small.POLICY_CELL: "pass", small.APPLY_CELL: "pass"} if case.work == "none" else {}
    if case.policy:
        answers[small.POLICY_CELL] = f"%%artifact policies/admission.rego\n{case.policy}"
    if case.kind == "innocent":
        return small.answered(answers, case.before, case.after)
    return small.answered(answers, [GUARD + PRELUDE, *_guarded(case.before)], _guarded(case.after))


def _guarded(cells: Sequence[str]) -> list[str]:
    return [GUARD + cell for cell in cells]


def stamp(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder, not following links: what nobody may change."""
    seen = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            about = Path(parent, name).lstat()
            seen[str(Path(parent, name))] = (about.st_size, about.st_mtime_ns)
    return seen
