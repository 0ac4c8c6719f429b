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
from environments.labspec import LabSpec, load_lab
from graders.cage import BubblewrapCage, Cage, Limits
from graders.gradebook import record
from graders.grading import Graded, Setting, grade_one, room
from graders.intake import Intake, Refused, Staged, take_in
from graders.probeset import fingerprint, load_all
from graders.records import Records
from graders.report import Extras, write_report
from graders.verdicts import Outcome, Results, all_alike, write_results

PROVIDERS = ("local",)
LOCK = ".lock"
STAGING = ".staging"
Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to grade, by what, and where the results go."""

    course: Path
    lab: str
    submitted: Path
    out: Path
    term_key: bytes
    provider: str = "local"
    limits: Limits = field(default_factory=Limits)


def grade_batch(order: Order, step: Step, cage: Cage | None = None) -> Results:
    """Grade every submission of the order's folder; `step` is told what happens.

    Writes `results.json`, `index.html`, `feedback/`, `junit.xml`, `gradebook.db` and `records/` into the order's `out`.
    Each submission is kept as soon as it is graded: run again after an interruption, the batch carries on.

    Raises:
        BadInputError: nothing to grade, the lab or the provider does not exist, or another batch writes to `out`.
        CageError: the cage does not hold; nothing was graded.
        FootprintError: no footprint could be started.
        StorageError: a result could not be written.
    """
    if order.provider not in PROVIDERS:
        raise BadInputError(f"There is no provider {order.provider!r}.", hint=f"Providers: {', '.join(PROVIDERS)}.")
    spec = load_lab(order.course, order.lab)
    setting = Setting(
        course=order.course,
        spec=spec,
        probes=load_all(order.course, spec),
        term_key=order.term_key,
        cage=cage or BubblewrapCage(),
        limits=order.limits,
    )
    release = order.course / "labs" / spec.slug / "notebooks"
    with _alone(order.out) as staging:
        intake = take_in(order.submitted, spec, release, staging)
        graded = _grade_all(order, setting, intake, step)
        results = Results(lab=spec.slug, provider=order.provider, submissions=[one.result for one in graded])
        step("writing reports")
        extras = {one.result.learner: one.extras for one in graded}
        write_report(order.out, spec, results, extras)
        staged = {one.learner: one.path for one in intake.staged}
        record(order.out / "gradebook.db", spec, results, release, staged)
        write_results(order.out / "results.json", results)
    return results


def records_of(order: Order, spec: LabSpec) -> Records:
    """What is kept of the order's submissions, as far as nothing has changed that they were graded by."""
    mark = fingerprint(order.course, spec, order.term_key, order.provider, repr(order.limits))
    return Records(order.out / "records", mark)


def _grade_all(order: Order, setting: Setting, intake: Intake, step: Step) -> list[Graded]:
    """Results in the order of the learners; a footprint is started only if something must be run."""
    records = records_of(order, setting.spec)
    done = {one.learner: _refused(setting, one) for one in intake.refused}
    for one in intake.staged:
        if found := records.find(one.learner, one.sha256):
            done[one.learner] = found
    todo = [one for one in intake.staged if one.learner not in done]
    if todo:
        step("proving the cage")
        setting.cage.prove()
        _run(setting, todo, records, done, step)
    return [done[one.learner] for one in intake.submissions]


def _run(setting: Setting, todo: list[Staged], records: Records, done: dict[str, Graded], step: Step) -> None:
    with room(setting.spec.slug, lambda text: step(f"starting a footprint: {text}")) as clean:
        for number, one in enumerate(todo, 1):
            clean.ready()
            step(f"{one.learner} ({number} of {len(todo)})")
            done[one.learner] = grade_one(setting, one, clean)
            records.keep(done[one.learner])


def _refused(setting: Setting, one: Refused) -> Graded:
    result = all_alike(setting.spec, one.learner, one.sha256, Outcome.NOT_GRADED, one.error)
    return Graded(result=result, extras=Extras())


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
