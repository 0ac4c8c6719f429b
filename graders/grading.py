"""The way of one submission, from its staged folder to its verdicts: reset, cage, settle, judge."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from environments.errors import CageError, FootprintError
from environments.footprint import Footprint, Progress, silent, temporary
from environments.labspec import LabSpec
from environments.params import derive
from environments.probes import Probe
from graders.cage import Cage, Job, Limits, Status
from graders.intake import Staged, lab_notebooks
from graders.judge import judge
from graders.probeset import seed
from graders.report import Extras
from graders.verdicts import Outcome, SubmissionResult, all_alike, conclude

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for every submission of a batch."""

    course: Path
    spec: LabSpec
    probes: list[Probe]
    term_key: bytes
    cage: Cage
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class Graded:
    """A submission's result, and what its pages show beside the verdicts."""

    result: SubmissionResult
    extras: Extras


class Room:
    """A footprint that is clean for each submission; one that broke is replaced."""

    def __init__(self, lab: str, progress: Progress) -> None:
        self._lab = lab
        self._progress = progress
        self._context = temporary(lab, progress=progress)
        self.footprint: Footprint = self._context.__enter__()

    def replace(self) -> None:
        """Give up this footprint, and start another."""
        self.close()
        self._context = temporary(self._lab, progress=self._progress)
        self.footprint = self._context.__enter__()

    def close(self) -> None:
        """Stop the footprint."""
        self._context.__exit__(None, None, None)


@contextmanager
def room(lab: str, progress: Progress = silent) -> Iterator[Room]:
    """A room for as long as the context lasts."""
    made = Room(lab, progress)
    try:
        yield made
    finally:
        made.close()


def grade_one(setting: Setting, staged: Staged, room: Room) -> Graded:
    """Run and judge one submission. A fault of ours ends as `not_graded`, and costs the learner nothing."""
    try:
        return _grade(setting, staged, room.footprint)
    except FootprintError as error:
        log.warning("%s: %s", staged.learner, error.message)
        room.replace()
        return _ours(setting, staged, f"The footprint failed: {error.message}")
    except CageError as error:
        return _ours(setting, staged, f"The cage failed: {error.message}")


def _grade(setting: Setting, staged: Staged, footprint: Footprint) -> Graded:
    footprint.reset(params=derive(staged.learner, setting.term_key))
    access = footprint.access("operator")
    outcome = setting.cage.run(
        Job(
            files=staged.path,
            notebooks=tuple(lab_notebooks(setting.spec)),
            access=access.model_dump_json().encode(),
            ports=access.ports(),
            course=setting.course / "labs" / setting.spec.slug,
            limits=setting.limits,
        )
    )
    notes = staged.notes
    if outcome.status is not Status.FINISHED:
        notes += (f"Your notebooks did not run to their end ({outcome.status}): {outcome.detail}",)
    extras = Extras(notes=notes, notebooks=dict(outcome.notebooks))
    return Graded(result=_verdict(setting, staged, footprint), extras=extras)


def _verdict(setting: Setting, staged: Staged, footprint: Footprint) -> SubmissionResult:
    settled = footprint.settle()
    if settled["tampered"]:
        reason = "Something was changed that learners may not change: " + "; ".join(settled["tampered"][:5])
        return all_alike(setting.spec, staged.learner, staged.sha256, Outcome.TAMPERED, reason)
    checks = judge(
        footprint.access("judge"),
        setting.spec,
        setting.probes,
        footprint.capabilities,
        seed(setting.term_key, staged.learner),
    )
    return conclude(setting.spec, staged.learner, staged.sha256, checks)


def _ours(setting: Setting, staged: Staged, reason: str) -> Graded:
    result = all_alike(setting.spec, staged.learner, staged.sha256, Outcome.NOT_GRADED, reason)
    return Graded(result=result, extras=Extras(notes=staged.notes))
