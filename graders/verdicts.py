"""Verdicts of checks and of submissions, and `results.json`, the file that carries them.

The laws: no verdict is never a pass; our fault never costs points and never gives them; one tampered check
condemns the whole submission to 0 until a person has looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from environments.errors import BadInputError
from environments.handin.untrusted import displayable
from environments.labspec import CheckSpec, LabSpec, TaskSpec
from environments.storage import write_whole
from environments.yamlfile import Strict, read_text

MAX_RESULTS_BYTES = 64 << 20  # 10 000 learners with every message at its longest stay below
MAX_MESSAGE = 2000


def _shown(value: object) -> object:
    # A learner's words can be in it: a lone surrogate alone would make the whole batch's file unwritable.
    return displayable(value, MAX_MESSAGE) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_shown)]


class Outcome(StrEnum):
    """What the judge found on one check. `not_graded` is our fault or a missing capability, never the learner's."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_GRADED = "not_graded"
    TAMPERED = "tampered"


class SubmissionVerdict(StrEnum):
    """How far a submission's score can be trusted; only that of `graded` is final."""

    GRADED = "graded"
    PARTLY_GRADED = "partly_graded"
    NOT_GRADED = "not_graded"
    TAMPERED = "tampered"


class Asked(Strict):
    """One request that the self-check shows too, and what came back when the judge asked it: for the learner's page.

    `ok` is null where it could not be asked.
    """

    cloud: str
    request: Text
    expected: Text
    got: Text
    detail: Text
    why: Text
    ok: bool | None


class CheckVerdict(Strict):
    """The verdict of one check: `earned` is null if not graded; `message` is for the learner.

    `failed_on` names the clouds where a failed check does not hold; none where it holds nowhere, or nobody can say.
    """

    id: str
    task: str
    points: int = Field(ge=1)
    earned: int | None
    outcome: Outcome
    message: Text
    seconds: float = Field(ge=0, allow_inf_nan=False)
    failed_on: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _earned_follows_outcome(self) -> Self:
        if self.earned != earned(self.outcome, self.points):
            raise ValueError(f"{self.id} is {self.outcome} and cannot earn {self.earned}")
        if self.failed_on and self.outcome is not Outcome.FAILED:
            raise ValueError(f"{self.id} is {self.outcome} and cannot fail on a cloud")
        return self

    def holds_on(self, cloud: str) -> bool:
        """Whether it passed, or failed on other clouds only."""
        return self.outcome is Outcome.PASSED or (bool(self.failed_on) and cloud not in self.failed_on)


class SubmissionResult(Strict):
    """One learner's result. `score` is the sum of what the checks earned, null as long as nothing was graded."""

    learner: Text
    sha256: str | None
    verdict: SubmissionVerdict
    score: int | None
    max_score: int = Field(ge=1)
    error: Text | None
    checks: list[CheckVerdict]

    @model_validator(mode="after")
    def _follows_checks(self) -> Self:
        if self.verdict != submission_verdict(self.checks) or self.score != score(self.checks):
            raise ValueError(f"verdict and score of {self.learner} do not follow from the checks")
        if self.max_score != sum(check.points for check in self.checks):
            raise ValueError(f"the maximum of {self.learner} is not the points of the checks")
        return self

    @property
    def final(self) -> bool:
        """Whether the score may stand without a person looking at it."""
        return self.verdict is SubmissionVerdict.GRADED

    def of_task(self, task: str) -> list[CheckVerdict]:
        """The verdicts of one task's checks."""
        return [check for check in self.checks if check.task == task]


class Results(Strict):
    """The whole of `results.json`."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    lab: str
    provider: str
    submissions: list[SubmissionResult]

    @property
    def final(self) -> bool:
        """Whether every submission is finally graded."""
        return all(submission.final for submission in self.submissions)


def earned(outcome: Outcome, points: int) -> int | None:
    """The points that a check worth `points` earns by its outcome."""
    if outcome is Outcome.NOT_GRADED:
        return None
    return points if outcome is Outcome.PASSED else 0


def judged(
    spec: LabSpec,
    check_id: str,
    outcome: Outcome,
    message: str = "",
    seconds: float = 0.0,
    failed_on: Sequence[str] = (),
) -> CheckVerdict:
    """The verdict `outcome` on the lab's check `check_id`, with its task and points as the lab states them.

    Raises:
        ValueError: the lab has no such check.
    """
    for task in spec.tasks:
        for check in task.checks:
            if check.id == check_id:
                return _judged(task, check, outcome, message, seconds, failed_on)
    raise ValueError(f"{spec.slug} has no check {check_id}")


def score(checks: Iterable[CheckVerdict]) -> int | None:
    """Points earned so far; null where not one check was graded."""
    graded = [check.earned for check in checks if check.earned is not None]
    return sum(graded) if graded else None


def submission_verdict(checks: Iterable[CheckVerdict]) -> SubmissionVerdict:
    """The verdict on a submission with these checks."""
    outcomes = {check.outcome for check in checks}
    if Outcome.TAMPERED in outcomes:
        return SubmissionVerdict.TAMPERED
    if not outcomes - {Outcome.NOT_GRADED}:
        return SubmissionVerdict.NOT_GRADED
    return SubmissionVerdict.PARTLY_GRADED if Outcome.NOT_GRADED in outcomes else SubmissionVerdict.GRADED


def conclude(
    spec: LabSpec, learner: str, sha256: str | None, checks: Iterable[CheckVerdict], error: str | None = None
) -> SubmissionResult:
    """The result of a submission, from the verdicts of its checks in any order.

    A check of the lab without a verdict counts as not graded. One tampered check makes all of them so.

    Raises:
        ValueError: two verdicts on one check, or one on a check that the lab does not have.
    """
    given = list(checks)
    by_id = {check.id: check for check in given}
    if len(by_id) != len(given) or by_id.keys() - {check.id for check in spec.checks}:
        raise ValueError(f"verdicts on {learner} do not fit the checks of {spec.slug}")
    missing = "The judge gave no verdict on this check."
    ordered = [
        by_id.get(check.id) or _judged(task, check, Outcome.NOT_GRADED, missing)
        for task in spec.tasks
        for check in task.checks
    ]
    if any(check.outcome is Outcome.TAMPERED for check in ordered):
        ordered = [
            check.model_copy(update={"outcome": Outcome.TAMPERED, "earned": 0, "failed_on": []}) for check in ordered
        ]
    return SubmissionResult(
        learner=learner,
        sha256=sha256,
        verdict=submission_verdict(ordered),
        score=score(ordered),
        max_score=spec.points,
        error=error,
        checks=ordered,
    )


def all_alike(spec: LabSpec, learner: str, sha256: str | None, outcome: Outcome, reason: str) -> SubmissionResult:
    """The result of a submission whose every check has one outcome, for one reason, which is also its error."""
    checks = [_judged(task, check, outcome, reason) for task in spec.tasks for check in task.checks]
    return conclude(spec, learner, sha256, checks, error=reason)


def write_results(path: Path, results: Results) -> None:
    """Write `results.json` whole or not at all.

    Raises:
        StorageError: it cannot be written; the old file is kept.
    """
    write_whole(path, (results.model_dump_json(by_alias=True, indent=2) + "\n").encode())


def read_results(path: Path) -> Results:
    """Read a `results.json`.

    Raises:
        BadInputError: there is none, or it is not as `write_results` writes it.
    """
    try:
        return Results.model_validate_json(read_text(path, MAX_RESULTS_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "document"
        raise BadInputError(
            f"{path} is not a results file: {where}: {first['msg']}.", hint="Grade the batch again."
        ) from None


def _judged(
    task: TaskSpec,
    check: CheckSpec,
    outcome: Outcome,
    message: str = "",
    seconds: float = 0.0,
    failed_on: Sequence[str] = (),
) -> CheckVerdict:
    return CheckVerdict(
        id=check.id,
        task=task.id,
        points=check.points,
        earned=earned(outcome, check.points),
        outcome=outcome,
        message=message,
        seconds=seconds,
        failed_on=list(failed_on),
    )
