"""The way of one submission, from its staged folder to its verdicts: reset, cage, settle, judge."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from environments.errors import CageError, CourseError, FootprintError
from environments.footprint import Footprint, Progress, silent, temporary
from environments.labspec import LabSpec
from environments.params import LearnerParams
from environments.probes import Probe
from environments.yamlfile import Strict
from graders.cage import Cage, Job, Limits, Status
from graders.cage import Outcome as Run
from graders.intake import lab_notebooks
from graders.judge import Judge
from graders.report import Extras
from graders.verdicts import Outcome, SubmissionResult, all_alike, conclude

ATTEMPTS = 2  # a fault of ours is often gone with a new footprint; the learner's faults are never tried again
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for every submission of a batch."""

    course: Path
    spec: LabSpec
    probes: Sequence[Probe]
    cage: Cage
    limits: Limits = field(default_factory=Limits)


class Task(Strict):
    """One submission to grade. All that is secret in it is this learner's own; the term's key is not.

    Attributes:
        path: Where it is staged.
        content: SHA-256 over what is staged there.
        sha256: Of what was handed in.
        notes: What intake left out or put back.
        params: The learner's parameters.
        seed: Hex; what this learner's hidden probes are drawn by.
    """

    learner: str
    path: Path
    content: str
    sha256: str
    notes: tuple[str, ...]
    params: LearnerParams
    seed: str


@dataclass(frozen=True, kw_only=True)
class Graded:
    """A submission's result, and what its pages show beside the verdicts."""

    result: SubmissionResult
    extras: Extras


class _OurFaultError(Exception):
    """Something of ours failed while a submission was graded; the text is for the learner."""


class Room:
    """A footprint and a judge for one submission after another; both are started when first asked for, and anew if they broke."""

    def __init__(self, lab: str, progress: Progress = silent) -> None:
        self._lab = lab
        self._progress = progress
        self._closed = False
        self._running = ExitStack()
        self._footprint: Footprint | None = None
        self._judge: Judge | None = None

    def ready(self) -> Footprint:
        """The footprint that runs; it is started if none does.

        Raises:
            FootprintError: none could be started, or the room is closed.
        """
        if self._closed:
            raise _closed()
        if self._judge is None:
            self._judge = Judge()  # imports its libraries while the servers start
        if self._footprint is None:
            self._footprint = self._running.enter_context(temporary(self._lab, progress=self._progress))
        return self._footprint

    @property
    def judge(self) -> Judge:
        """The judge of a room that is ready; not for two submissions at once."""
        if self._judge is None:
            raise _closed()
        return self._judge

    def renew(self) -> None:
        """Stop the footprint because it broke."""
        self._footprint = None
        self._running.close()

    def close(self) -> None:
        """Stop everything, also under a submission that is being graded."""
        self._closed = True
        self.renew()
        if self._judge is not None:
            self._judge.close()
            self._judge = None


def _closed() -> FootprintError:
    return FootprintError("The grader was stopped.", hint="Run the same command again: it carries on.")


@contextmanager
def room(lab: str, progress: Progress = silent) -> Iterator[Room]:
    """A room for as long as the context lasts."""
    made = Room(lab, progress)
    try:
        yield made
    finally:
        made.close()


def grade_one(setting: Setting, task: Task, room: Room) -> Graded:
    """Run and judge one submission. A fault of ours is tried again once, then ends as `not_graded`: it costs no points.

    Raises:
        FootprintError: no footprint could be started.
    """
    reason = ""
    for _ in range(ATTEMPTS):
        footprint = room.ready()
        try:
            return _attempt(setting, task, room, footprint)
        except _OurFaultError as error:
            reason = str(error)
            log.warning("%s: %s", task.learner, reason)
    return not_graded(setting.spec, task, reason)


def not_graded(spec: LabSpec, task: Task, reason: str) -> Graded:
    """What is said of a submission that a fault of ours kept from being graded."""
    result = all_alike(spec, task.learner, task.sha256, Outcome.NOT_GRADED, reason)
    return Graded(result=result, extras=Extras(notes=task.notes))


def _attempt(setting: Setting, task: Task, room: Room, footprint: Footprint) -> Graded:
    try:
        graded = _grade(setting, task, room, footprint)
        _check_servers(footprint)
    except FootprintError as error:
        room.renew()
        raise _OurFaultError(f"The footprint failed: {error.message}") from error
    except CageError as error:
        raise _OurFaultError(f"The cage failed: {error.message}") from error
    except (CourseError, OSError):  # a full disk, a lab without checks: the next submission would meet it too
        raise
    except Exception as error:
        log.exception("%s: a fault of the grader's", task.learner)
        raise _OurFaultError(f"The grader itself failed ({type(error).__name__}).") from error
    return graded


def _check_servers(footprint: Footprint) -> None:
    """Raise if a server has died, whoever killed it: what the judge saw then is no verdict on the learner's work."""
    servers = footprint.status()["servers"]
    if dead := [f"{name} {server['state']}" for name, server in servers.items() if server["state"] != "running"]:
        raise FootprintError(f"A server died: {', '.join(dead)}.", hint="Run the same command again.")


def _grade(setting: Setting, task: Task, room: Room, footprint: Footprint) -> Graded:
    watch = _Watch()
    with watch.timed("reset"):
        footprint.reset(params=task.params)
    with watch.timed("cage"):
        outcome = setting.cage.run(_job(setting, task, footprint))
    with watch.timed("settle"):
        tampered = footprint.settle()["tampered"]
    extras = Extras(notes=task.notes + _seen(outcome), notebooks=dict(outcome.notebooks), seconds=watch.seconds)
    if tampered:
        reason = "Something was changed that learners may not change: " + "; ".join(tampered[:5])
        result = all_alike(setting.spec, task.learner, task.sha256, Outcome.TAMPERED, reason)
        return Graded(result=result, extras=extras)
    with watch.timed("judge"):
        judgement = room.judge.judge(
            footprint.access("judge"), setting.spec, setting.probes, footprint.capabilities, bytes.fromhex(task.seed)
        )
    result = conclude(setting.spec, task.learner, task.sha256, judgement.checks)
    return Graded(result=result, extras=replace(extras, asked=judgement.asked))


def _job(setting: Setting, task: Task, footprint: Footprint) -> Job:
    access = footprint.access("operator")
    return Job(
        files=task.path,
        notebooks=tuple(lab_notebooks(setting.spec)),
        access=access.model_dump_json().encode(),
        ports=access.ports(),
        course=setting.course / "labs" / setting.spec.slug,
        limits=setting.limits,
    )


@dataclass
class _Watch:
    """Wall times of named steps."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[step] = round(time.monotonic() - began, 3)


def _seen(outcome: Run) -> tuple[str, ...]:
    """What the cage has to say to the learner, if anything."""
    if outcome.status is not Status.FINISHED:
        return (f"Your notebooks did not run to their end ({outcome.status}): {outcome.detail}",)
    return (f"While your notebooks ran: {outcome.detail}",) if outcome.detail else ()
