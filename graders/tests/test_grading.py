"""A fault of ours in the middle of a submission: it is tried again once, costs nothing, and the next one has a new footprint."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from environments.errors import CageError, FootprintError
from environments.tests.tier import THOROUGH
from graders import room
from graders.batch import grade_batch
from graders.cage import Job, Outcome
from graders.grading import ATTEMPTS
from graders.judge import Judge, Judgement
from graders.tests.batches import Idle
from graders.tests.small import CHECKS, hand_in, order_of, small_course
from graders.verdicts import Results, SubmissionResult, SubmissionVerdict

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(1200)]
WHILE_CAGED = {"a": "kube-apiserver"}
WHILE_JUDGED = {"d": "opa"} if THOROUGH else {}
ONCE = {"n": "vault", "o": "etcd"} if THOROUGH else {"n": "vault"}  # while caged, in the first attempt alone


class Servers:
    """The servers that this process starts from now on; other tests' footprints may be running beside them."""

    def __init__(self) -> None:
        self._others = set(psutil.Process().children(recursive=True))

    def running(self) -> list[psutil.Process]:
        return [process for process in psutil.Process().children(recursive=True) if process not in self._others]

    def kill(self, name: str) -> None:
        for process in self.running():
            words = process.cmdline()
            if process.name() == name or any(name in word for word in words[1:4]):
                process.send_signal(signal.SIGKILL)
                psutil.wait_procs([process], timeout=10)
                return
        raise LookupError(name)


class Sabotaged(Idle):
    """Kills a server, or breaks itself, while a learner's notebooks would run."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.ran: list[str] = []

    def run(self, job: Job) -> Outcome:
        learner = job.files.name
        self.ran.append(learner)
        if learner in WHILE_CAGED:
            self._servers.kill(WHILE_CAGED[learner])
        if learner in ONCE and self.ran.count(learner) == 1:
            self._servers.kill(ONCE[learner])
        if learner == "h":
            raise CageError("no cage today", hint="Wait for a better one.")
        return super().run(job)


@pytest.fixture(scope="module")
def servers() -> Servers:
    return Servers()


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_course(tmp_path_factory.mktemp("small"))


@dataclass(frozen=True)
class Batch:
    results: Results
    steps: list[str]
    folder: Path
    ran: list[str]


@pytest.fixture(scope="module")
def sabotaged(tmp_path_factory: pytest.TempPathFactory, course: Path, servers: Servers) -> Batch:
    folder = tmp_path_factory.mktemp("sabotaged")
    for learner in [*WHILE_CAGED, *WHILE_JUDGED, *ONCE, "h", "i", "z"]:
        hand_in(folder / "submitted", learner)
    steps: list[str] = []
    cage = Sabotaged(servers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Judge, "judge", _saboteur(Judge.judge, cage, servers))
        results = grade_batch(order_of(course, folder), steps.append, cage)
    return Batch(results, steps, folder, cage.ran)


def _saboteur(real: Callable[..., Judgement], cage: Sabotaged, servers: Servers) -> Callable[..., Judgement]:
    def judged(*arguments: object) -> Judgement:
        learner = cage.ran[-1]
        if learner in WHILE_JUDGED:
            servers.kill(WHILE_JUDGED[learner])
        if learner == "i":
            raise RuntimeError("a bug")
        return real(*arguments)

    return judged


def of(results: Results, learner: str) -> SubmissionResult:
    return next(one for one in results.submissions if one.learner == learner)


@pytest.mark.parametrize("learner", [*WHILE_CAGED, *WHILE_JUDGED])
def test_a_server_that_dies_each_time_makes_no_grade_good_or_bad(sabotaged: Batch, learner: str) -> None:
    result = of(sabotaged.results, learner)
    assert (result.verdict, result.score) == (SubmissionVerdict.NOT_GRADED, None)
    assert (result.error or "").startswith("The footprint failed: ")
    assert "Traceback" not in (result.error or "")


@pytest.mark.parametrize("learner", ONCE)
def test_a_server_that_dies_once_costs_time_alone(sabotaged: Batch, learner: str) -> None:
    result = of(sabotaged.results, learner)
    assert (result.verdict, result.score) == (SubmissionVerdict.GRADED, 0)  # nothing was run
    assert sabotaged.ran.count(learner) == ATTEMPTS
    assert sabotaged.ran.count("z") == 1


def test_the_next_submission_has_a_footprint_that_lives(sabotaged: Batch) -> None:
    untouched = of(sabotaged.results, "z")
    assert (untouched.verdict, untouched.score) == (SubmissionVerdict.GRADED, 0)
    starts = sum("gcp/kube-apiserver is ready" in step for step in sabotaged.steps)
    assert starts == 1 + ATTEMPTS * (len(WHILE_CAGED) + len(WHILE_JUDGED)) + len(ONCE)


def test_a_cage_that_fails_costs_nothing_and_keeps_the_footprint(sabotaged: Batch) -> None:
    result = of(sabotaged.results, "h")
    assert (result.verdict, result.error) == (SubmissionVerdict.NOT_GRADED, "The cage failed: no cage today")


def test_a_bug_of_ours_costs_its_own_submission_only(sabotaged: Batch) -> None:
    result = of(sabotaged.results, "i")
    assert (result.verdict, result.error) == (
        SubmissionVerdict.NOT_GRADED,
        "The grader itself failed (RuntimeError).",
    )


def test_nothing_of_all_those_footprints_is_left(sabotaged: Batch, servers: Servers) -> None:
    names = {process.name() for process in servers.running()}
    assert names.isdisjoint({"kube-apiserver", "etcd", "opa", "vault"})


def test_only_what_a_fault_of_ours_met_is_tried_again(sabotaged: Batch, course: Path) -> None:
    folder = sabotaged.folder
    caged: list[str] = []

    class Stops(Idle):
        def run(self, job: Job) -> Outcome:
            caged.append(job.files.name)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_batch(order_of(course, folder), lambda _: None, Stops())
    assert caged == ["a"]


def test_a_footprint_that_cannot_start_ends_the_batch_and_keeps_what_is_graded(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for learner in ("a", "b", "c"):
        hand_in(tmp_path / "submitted", learner)
    servers = Servers()

    class Breaks(Idle):
        def run(self, job: Job) -> Outcome:
            if job.files.name == "b":
                monkeypatch.setattr(room, "temporary", _unable)
                servers.kill("vault")
            return super().run(job)

    with pytest.raises(FootprintError, match="no memory"):
        grade_batch(order_of(course, tmp_path), lambda _: None, Breaks())
    assert sorted(path.stem for path in (tmp_path / "out" / "records").glob("*.json")) == ["a"]
    assert len(CHECKS) == (tmp_path / "out" / "records" / "a.json").read_text().count('"earned"')


def _unable(*_: object, **__: object) -> object:
    raise FootprintError("no memory", hint="Buy some.")
