"""The way of one submission, from its staged folder to its verdicts: reset, cage, settle, judge."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from environments.errors import CageError, CourseError, FootprintError
from environments.footprint import Footprint, Progress, silent, temporary
from environments.labspec import LabSpec
from environments.params import derive
from environments.probes import Probe
from graders.cage import Cage, Job, Limits, Status
from graders.cage import Outcome as Run
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
    """A footprint for one submission after another; it is started when first asked for, and again after it broke."""

    def __init__(self, lab: str, progress: Progress) -> None:
        self._lab = lab
        self._progress = progress
        self._running = ExitStack()
        self._footprint: Footprint | None = None

    def ready(self) -> Footprint:
        """The footprint that runs; it is started if none does.

        Raises:
            FootprintError: none could be started.
        """
        if self._footprint is None:
            self._footprint = self._running.enter_context(temporary(self._lab, progress=self._progress))
        return self._footprint

    def close(self) -> None:
        """Stop the footprint, for good or because it broke."""
        self._footprint = None
        self._running.close()


@contextmanager
def room(lab: str, progress: Progress = silent) -> Iterator[Room]:
    """A room for as long as the context lasts."""
    made = Room(lab, progress)
    try:
        yield made
    finally:
        made.close()


def grade_one(setting: Setting, staged: Staged, room: Room) -> Graded:
    """Run and judge one submission. A fault of ours ends as `not_graded`, and costs the learner nothing.

    Raises:
        FootprintError: no footprint could be started.
    """
    footprint = room.ready()
    try:
        graded = _grade(setting, staged, footprint)
        _check_servers(footprint)
    except FootprintError as error:
        log.warning("%s: %s", staged.learner, error.message)
        room.close()
        return _ours(setting, staged, f"The footprint failed: {error.message}")
    except CageError as error:
        return _ours(setting, staged, f"The cage failed: {error.message}")
    except (CourseError, OSError):  # a full disk, a lab without checks: the next submission would meet it too
        raise
    except Exception as error:
        log.exception("%s: a fault of the grader's", staged.learner)
        return _ours(setting, staged, f"The grader itself failed ({type(error).__name__}).")
    return graded


def _check_servers(footprint: Footprint) -> None:
    """Raise if a server has died, whoever killed it: what the judge saw then is no verdict on the learner's work."""
    servers = footprint.status()["servers"]
    if dead := [f"{name} {server['state']}" for name, server in servers.items() if server["state"] != "running"]:
        raise FootprintError(f"A server died: {', '.join(dead)}.", hint="Run the same command again.")


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
    extras = Extras(notes=staged.notes + _seen(outcome), notebooks=dict(outcome.notebooks))
    return Graded(result=_verdict(setting, staged, footprint), extras=extras)


def _seen(outcome: Run) -> tuple[str, ...]:
    """What the cage has to say to the learner, if anything."""
    if outcome.status is not Status.FINISHED:
        return (f"Your notebooks did not run to their end ({outcome.status}): {outcome.detail}",)
    return (f"While your notebooks ran: {outcome.detail}",) if outcome.detail else ()


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
