"""A class of small submissions through us and through nbgrader, with the same work in the same notebooks.

Ours gives each of them a clean footprint, a cage and a judge out of its reach. `nbgrader autograde` runs them one after
another as its own user on one footprint that all share: once with nothing judged at all, so that both do the same in the
notebook, and once with the notebook's self-check as its test, which is how nbgrader grades. Our judge asks the same and
more, from outside.

`python -m graders.benchmarks.bench_batch [--json] [--rounds N]`, as root: N submissions on both sides, and on ours also
ten, to see whether a submission costs the same in a larger class.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from environments.access import ACCESS_VARIABLE, NO_SELF_CHECK_VARIABLE, write_access
from environments.benchmarks.table import Row, main, row, seconds
from environments.footprint import temporary
from environments.params import derive
from graders.batch import grade_batch, records_of
from graders.tests.small import NOTEBOOK, SLUG, TERM_KEY, hand_in, order_of, reference, small_course, small_spec

FEW = 10
WORKERS = 2
BOOTS = 3
STEPS = ("reset", "cage", "settle", "judge")
GRADED = " graded, last "
COURSE = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One batch.

    Attributes:
        whole: Seconds from the command to the last report.
        each: Seconds a submission, once footprints are up and all workers at work.
        memory: Bytes of this process at its end, without workers and servers.
        steps: Seconds of each step of each submission.
    """

    whole: float
    each: float
    memory: int
    steps: Mapping[str, Sequence[float]]


def measure(rounds: int) -> Iterator[Row]:
    """Rows for `rounds` submissions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        course = small_course(folder / "course")
        few, many = (_ours(course, folder / str(number), number) for number in (FEW, rounds))
        peers = {how: _nbgrader(course, folder / how, rounds, how) for how in ("judging nothing", "with its test")}
    for how, peer in peers.items():
        yield row(f"{rounds} submissions, all in all / nbgrader {how}", "s", many.whole, peer)
        yield row(f"submissions a minute, footprints up / nbgrader {how}", "1/min", 60 / many.each, 60 * rounds / peer)
    yield row(f"a submission of {rounds} / of {FEW}", "ms", 1000 * many.each, 1000 * few.each)
    yield row(f"grader's own memory after {rounds} / after {FEW}", "MiB", many.memory / 2**20, few.memory / 2**20)
    for step, values in {"boot": [_boot() for _ in range(BOOTS)], **many.steps}.items():
        yield row(f"{step}: median / 95th percentile", "ms", 1000 * statistics.median(values), 1000 * _p95(values))


def _ours(course: Path, folder: Path, number: int) -> Measured:
    learners = _hand_in_all(folder / "submitted", number)
    order = order_of(course, folder, workers=WORKERS)
    times: list[float] = []
    memory: list[int] = []

    def step(text: str) -> None:
        if GRADED in text:
            times.append(time.perf_counter())
            memory.append(psutil.Process().memory_info().rss)

    whole = seconds(lambda: _check(grade_batch(order, step).final))
    kept = records_of(order, small_spec(course)).extras(learners)
    steps = {name: [extras.seconds[name] for extras in kept.values()] for name in STEPS}
    each = (times[-1] - times[WORKERS - 1]) / (number - WORKERS)
    return Measured(whole=whole, each=each, memory=memory[-1], steps=steps)


def _nbgrader(course: Path, folder: Path, number: int, how: str) -> float:
    """Seconds of `nbgrader autograde` alone; making the assignment and starting the footprint do not count."""
    source = folder / "source" / SLUG
    source.mkdir(parents=True)
    (source / NOTEBOOK).write_bytes((course / "solutions" / SLUG / "notebooks" / NOTEBOOK).read_bytes())
    learners = _hand_in_all(folder / "submitted", number)
    with temporary(SLUG, derive(learners[0], TERM_KEY)) as footprint:
        write_access(folder / "access.json", footprint.access("operator"))
        _run_nbgrader(course, folder, "generate_assignment", how)
        taken = seconds(lambda: _run_nbgrader(course, folder, "autograde", how))
    done = list((folder / "autograded").glob(f"*/{SLUG}/{NOTEBOOK}"))
    _check(len(done) == number and all("applied: Rego" in path.read_text() for path in done))
    return taken


def _run_nbgrader(course: Path, folder: Path, command: str, how: str) -> None:
    programs = Path(sys.executable).parent  # nbgrader runs alembic by its name
    environment = {
        ACCESS_VARIABLE: str(folder / "access.json"),
        "MOD209_COURSE": str(course),
        "PYTHONPATH": str(COURSE),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    if how == "judging nothing":
        environment[NO_SELF_CHECK_VARIABLE] = "1"
    argv = [sys.executable, "-m", "nbgrader", command, SLUG, "--course-dir", str(folder), "--log-level", "ERROR"]
    subprocess.run(
        [*argv, "--db", f"sqlite:///{folder}/gradebook.db"],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=3600,
    )


def _hand_in_all(submitted: Path, number: int) -> list[str]:
    learners = [f"learner-{count:03}" for count in range(number)]
    for learner in learners:
        hand_in(submitted, learner, reference())
    return learners


def _boot() -> float:
    began = time.perf_counter()
    with temporary(SLUG):
        return time.perf_counter() - began


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _check(right: bool) -> None:
    if not right:
        raise RuntimeError("not every submission went well: these figures would mean nothing")


if __name__ == "__main__":
    main(__doc__ or "", measure, rounds=30)
