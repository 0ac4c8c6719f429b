"""The way of one submission, from its staged folder to its verdicts: reset, cage, settle, judge."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from environments.errors import CageError, CourseError, FootprintError
from environments.footprint import Footprint
from environments.labspec import LabSpec
from environments.params import LearnerParams
from environments.probes import Probe
from environments.yamlfile import Strict
from graders import prerequisites
from graders.cage import Cage, Job, Limits, Status
from graders.cage import Outcome as Run
from graders.judge import Judgement
from graders.report import Extras
from graders.room import Place, Room
from graders.verdicts import Outcome, SubmissionResult, all_alike, conclude

# On clusters pods start of what must be refused and is not, and that costs a machine time.
JUDGE_SECONDS = {"local": 120.0, "kind": 300.0}
ATTEMPTS = 2  # a fault of ours is often gone with a new footprint; the learner's faults are never tried again
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for every submission of a batch."""

    course: Path
    spec: LabSpec
    probes: Sequence[Probe]
    cage: Cage
    provider: str = "local"
    engine: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def place(self) -> Place:
        """Where it is graded."""
        return Place(course=self.course, lab=self.spec.slug, provider=self.provider, engine=self.engine)


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
    run = _run(setting, task, room, footprint)
    extras = Extras(
        notes=task.notes + _seen(run.outcome), notebooks=dict(run.outcome.notebooks), seconds=run.watch.seconds
    )
    if run.tampered:
        return Graded(result=_tampered(setting, task, run.tampered), extras=extras)
    result = conclude(setting.spec, task.learner, task.sha256, run.judgement.checks)
    graded = Graded(result=result, extras=replace(extras, asked=run.judgement.asked))
    return _second_look(setting, task, room, footprint, graded, run.outcome)


def _second_look(
    setting: Setting, task: Task, room: Room, footprint: Footprint, graded: Graded, outcome: Run
) -> Graded:
    """Judge what stands on a failed task on the reference's version of that one too, until no other such task shows."""
    spec, replaced = setting.spec, set[str]()
    release = setting.course / "labs" / spec.slug / "notebooks"
    answered = prerequisites.answered(spec, release, task.path, outcome.notebooks)
    while new := prerequisites.slipped(spec, graded.result.checks, answered) - replaced:
        replaced |= new
        standing = prerequisites.standing(spec, graded.result.checks, replaced)
        run = _run(setting, task, room, footprint, replaced, standing)
        if run.tampered:
            return replace(graded, result=_tampered(setting, task, run.tampered))
        checks = prerequisites.redeemed(graded.result.checks, run.judgement.checks, standing)
        graded = replace(graded, result=conclude(spec, task.learner, task.sha256, checks))
    if not replaced:
        return graded
    note = f"What stands on {', '.join(sorted(replaced))} was judged on the reference's version of it too."
    return replace(graded, extras=replace(graded.extras, notes=(*graded.extras.notes, note)))


@dataclass(kw_only=True)
class _Run:
    """One run of a submission's notebooks, and what was judged of it unless something was tampered with."""

    watch: _Watch
    outcome: Run
    tampered: list[str]
    judgement: Judgement


def _run(
    setting: Setting,
    task: Task,
    room: Room,
    footprint: Footprint,
    replaced: Collection[str] = frozenset(),
    judged: Collection[str] | None = None,
) -> _Run:
    """Reset, run the notebooks, settle and judge the tasks in `judged`; None is all.

    Notebooks of `replaced` tasks are the reference's, in a cage before.
    """
    watch, spec = _Watch(), setting.spec
    judged = {one.id for one in spec.tasks} if judged is None else judged
    theirs = [one.notebook for one in spec.tasks if one.id not in replaced]
    ours = [one.notebook for one in spec.tasks if one.id in replaced]
    with watch.timed("reset"):
        footprint.reset(params=task.params)
    with watch.timed("cage"):
        if ours:
            solutions = setting.course / "solutions" / spec.slug / "notebooks"
            setting.cage.run(_job(setting, solutions, ours, footprint))
        outcome = setting.cage.run(_job(setting, task.path, theirs, footprint))
    with watch.timed("settle"):
        tampered = footprint.settle()["tampered"]
    judgement = Judgement(checks=[], asked={})
    if not tampered:
        with watch.timed("judge"):
            needs, seed = {spec.task(one).needs for one in judged}, bytes.fromhex(task.seed)
            access, seconds = footprint.access("judge", needs), JUDGE_SECONDS[setting.provider]
            probes = [one for one in setting.probes if one.task in judged]
            judgement = room.judge.judge(access, spec, probes, access.capabilities, seed, seconds)
    return _Run(watch=watch, outcome=outcome, tampered=tampered, judgement=judgement)


def _tampered(setting: Setting, task: Task, what: Sequence[str]) -> SubmissionResult:
    reason = "Something was changed that learners may not change: " + "; ".join(what[:5])
    return all_alike(setting.spec, task.learner, task.sha256, Outcome.TAMPERED, reason)


def _job(setting: Setting, files: Path, notebooks: Iterable[str], footprint: Footprint) -> Job:
    access = footprint.access("operator")
    return Job(
        files=files,
        notebooks=tuple(dict.fromkeys(notebooks)),
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
