"""Grade a batch of submissions, and write everything that comes of it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from environments.errors import BadInputError, StorageError
from environments.footprint import PROGRAMS
from environments.labspec import LabSpec, load_lab
from environments.params import derive
from graders.cage import CAGE_NAMES, Cage, Limits, cage_named
from graders.gradebook import record
from graders.grading import Graded, Setting, Task, not_graded
from graders.intake import Intake, Refused, Staged, staged_digest, take_in
from graders.probeset import fingerprint, load_all, seed
from graders.records import Records
from graders.report import write_report
from graders.scheduling import Pace, Posting, Scheduler, in_turn
from graders.verdicts import Outcome, Results, SubmissionResult, all_alike, write_results

LOCK = ".lock"
STAGING = ".staging"
SCRATCH = ".workers"  # no learner's id begins with a dot
TIME_IS_UP = "The batch's time was up before it was this submission's turn."
Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to grade, by what, and where the results go.

    Attributes:
        engine: A policy engine beside OPA, on provider kind; empty for none.
        cage: Name of the cage.
        workers: Submissions graded side by side on this machine, each on a footprint of its own.
        scheduler: Grade on the workers of this scheduler instead.
        seconds: What the batch may take; submissions whose turn has not come then are `not_graded`.
    """

    course: Path
    lab: str
    submitted: Path
    out: Path
    term_key: bytes
    provider: str = "local"
    engine: str = ""
    limits: Limits = field(default_factory=Limits)
    cage: str = CAGE_NAMES[0]
    workers: int = 1
    scheduler: Scheduler | None = None
    seconds: float | None = None


def grade_batch(order: Order, step: Step, cage: Cage | None = None) -> Results:
    """Grade every submission of the order's folder; `step` is told what happens.

    Writes `results.json`, `index.html`, `feedback/`, `grades.csv`, `junit.xml`, `gradebook.db` and `records/` into `out`.
    Each submission is kept as soon as it is graded: run again after an interruption, the batch carries on.

    Raises:
        BadInputError: nothing to grade, the lab or the provider does not exist, or another batch writes to `out`.
        CageError: the cage does not hold; nothing was graded.
        FootprintError: no footprint could be started.
        StorageError: a result could not be written.
    """
    if order.provider not in PROGRAMS:
        raise BadInputError(f"There is no provider {order.provider!r}.", hint=f"Providers: {', '.join(PROGRAMS)}.")
    spec = load_lab(order.course, order.lab)
    release = order.course / "labs" / spec.slug / "notebooks"
    with _alone(order.out) as staging:
        intake = take_in(order.submitted, spec, release, staging)
        records = records_of(order, spec)
        submissions = _grade_all(order, spec, intake, records, step, cage)
        results = Results(lab=spec.slug, provider=order.provider, submissions=submissions)
        step("writing reports")
        staged = {one.learner: one.path for one in intake.staged}
        kept = {one.learner for one in submissions if one.learner in staged and one.error != TIME_IS_UP}
        write_report(order.out, spec, results, records.extras(kept))
        record(order.out / "gradebook.db", spec, results, release, staged)
        write_results(order.out / "results.json", results)
    return results


def records_of(order: Order, spec: LabSpec) -> Records:
    """What is kept of the order's submissions, as far as nothing has changed that they were graded by."""
    where = (order.provider, order.engine, order.cage, repr(order.limits))
    mark = fingerprint(order.course, spec, order.term_key, *where)
    return Records(order.out / "records", mark)


def _grade_all(
    order: Order, spec: LabSpec, intake: Intake, records: Records, step: Step, cage: Cage | None
) -> list[SubmissionResult]:
    """Results in the order of the learners; a footprint is started only if something must be run."""
    done = {one.learner: _refused(spec, one) for one in intake.refused}
    for one in intake.staged:
        if found := records.find(one.learner, one.sha256):
            done[one.learner] = found
    todo = [_task(order, one) for one in intake.staged if one.learner not in done]
    for graded in _graded(order, spec, todo, step, cage) if todo else ():
        records.keep(graded)
        done[graded.result.learner] = graded.result
    for task in todo:
        if task.learner not in done:
            done[task.learner] = not_graded(spec, task, TIME_IS_UP).result
    return [done[one.learner] for one in intake.submissions]


def _graded(order: Order, spec: LabSpec, todo: list[Task], step: Step, cage: Cage | None) -> Iterator[Graded]:
    """What was graded, as it is done. A `cage` that is given is one of this process, and so is all of the work then."""
    pace = Pace(len(todo), step, order.seconds)
    if cage is None and (order.scheduler or order.workers > 1):
        from graders.scheduling.cluster import side_by_side  # noqa: PLC0415  distributed takes long to import

        posting = Posting(
            course=order.course,
            lab=order.lab,
            provider=order.provider,
            engine=order.engine,
            cage=order.cage,
            limits=order.limits,
        )
        scratch = order.out / STAGING / SCRATCH
        return side_by_side(posting, spec, todo, pace, order.scheduler or order.workers, scratch)
    setting = Setting(
        course=order.course,
        spec=spec,
        probes=load_all(order.course, spec),
        cage=cage or cage_named(order.cage),
        provider=order.provider,
        engine=order.engine,
        limits=order.limits,
    )
    return in_turn(setting, todo, pace)


def _task(order: Order, one: Staged) -> Task:
    return Task(
        learner=one.learner,
        path=one.path.absolute(),
        content=staged_digest(one.path),
        sha256=one.sha256,
        notes=one.notes,
        params=derive(one.learner, order.term_key),
        seed=seed(order.term_key, one.learner).hex(),
    )


def _refused(spec: LabSpec, one: Refused) -> SubmissionResult:
    return all_alike(spec, one.learner, one.sha256, Outcome.NOT_GRADED, one.error)


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Make the folder, hold it against a second batch, and clear what a killed one left; gives an empty folder in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"Cannot write to {folder}: {error.strerror}.", hint="Name another folder by --out."
        ) from None
    with os.fdopen(lock):
        _hold(folder, lock)
        for part in folder.rglob(".*.part"):
            part.unlink()
        staging = folder / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _hold(folder: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadInputError(
            f"Another batch writes to {folder}.", hint="Wait for it, or name another folder by --out."
        ) from None
