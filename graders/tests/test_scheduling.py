"""Submissions side by side: the same results as one after another, whatever becomes of a worker."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from distributed import Security
from distributed.scheduler import KilledWorker

from environments.errors import BadInputError, FootprintError
from environments.params import derive
from environments.tests.tier import THOROUGH
from graders.batch import TIME_IS_UP, grade_batch
from graders.grading import Task, not_graded
from graders.intake import staged_digest
from graders.records import Kept
from graders.scheduling import Pace, cluster, scheduler_at
from graders.scheduling.worker import Answer, Fault
from graders.tests.cage_jobs import eventually
from graders.tests.small import (
    APPLY_CELL,
    POLICY_CELL,
    TERM_KEY,
    answered,
    hand_in,
    order_of,
    small_course,
    small_spec,
)
from graders.verdicts import Results, SubmissionResult, SubmissionVerdict

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can grade")
CLASS = 12 if THOROUGH else 5  # both workers have work before and after one is killed; bench_batch grades 200
WORKERS = 2
HANDED_IN = 4
WORKER: Any = None  # of no interest to what is tested


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_course(tmp_path_factory.mktemp("small"))


def submit_some(submitted: Path) -> None:
    """Right, wrong, broken and refused ones."""
    hand_in(submitted, "ada")
    hand_in(submitted, "ben", answered({POLICY_CELL: "%%artifact policies/admission.rego\npackage mod209.admission\n"}))
    hand_in(submitted, "cem", answered({APPLY_CELL: "raise SystemExit"}))
    hand_in(submitted, "dan", b"{")


def alike(results: Results) -> list[SubmissionResult]:
    """The results without the times, which always differ."""
    return [
        one.model_copy(update={"checks": [check.model_copy(update={"seconds": 0.0}) for check in one.checks]})
        for one in results.submissions
    ]


@needs_root
@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.thorough
def test_results_are_the_same_with_one_worker_or_two(course: Path, tmp_path: Path) -> None:
    submit_some(tmp_path / "submitted")
    in_turn = grade_batch(order_of(course, tmp_path), lambda _: None)
    beside = grade_batch(order_of(course, tmp_path, out=tmp_path / "beside", workers=WORKERS), lambda _: None)
    assert alike(in_turn) == alike(beside)
    scores = {one.learner: one.score for one in beside.submissions}
    assert scores == {"ada": 11, "ben": 0, "cem": 0, "dan": None}


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes below one: those that multiprocessing has spawned."""
    found = [child for child in process.children(recursive=True) if "from multiprocessing.spawn" in _words(child)]
    return [child for child in found if child.children()]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@needs_root
@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.timeout(3600)
def test_a_class_is_graded_though_a_worker_is_killed_in_the_middle(course: Path, tmp_path: Path) -> None:
    for number in range(CLASS):
        hand_in(tmp_path / "submitted", f"learner-{number:03}")
    killed: list[int] = []
    steps: list[str] = []

    def watch(text: str) -> None:
        steps.append(text)
        if text.startswith(f"{CLASS // 2} of") and not killed:
            victim = workers_of(psutil.Process())[0]
            killed.append(victim.pid)
            victim.send_signal(signal.SIGKILL)

    results = grade_batch(order_of(course, tmp_path, workers=WORKERS), watch)
    assert killed
    assert [one.learner for one in results.submissions] == [f"learner-{number:03}" for number in range(CLASS)]
    assert {(one.verdict, one.score, one.error) for one in results.submissions} == {
        (SubmissionVerdict.GRADED, 11, None)
    }
    told = re.compile(rf"{CLASS * 3 // 4} of {CLASS} graded, last learner-\d+, about \d+ (s|min) left")
    assert sum(bool(told.fullmatch(step)) for step in steps) == 1
    assert workers_of(psutil.Process()) == []


GRADE = """
import sys
from pathlib import Path
from graders.batch import grade_batch
from graders.tests.small import order_of
if __name__ == "__main__":
    course, folder = map(Path, sys.argv[1:])
    grade_batch(order_of(course, folder, workers=2), lambda text: print(text, flush=True))
"""


@contextmanager
def grader(course: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A batch with two workers in a process of its own, in the middle of its first submissions."""
    script = folder / "grade.py"
    script.write_text(GRADE)
    (folder / "tmp").mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, script, course, folder],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            assert any(line.startswith(f"1 of {HANDED_IN} graded") for line in process.stdout)
            yield process
        finally:
            process.kill()


@needs_root
@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize("stop", [pytest.param(signal.SIGINT, marks=pytest.mark.thorough), signal.SIGKILL])
def test_a_stopped_batch_leaves_no_process_and_keeps_what_is_graded(
    course: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    for number in range(HANDED_IN):
        hand_in(tmp_path / "submitted", f"learner-{number}")
    with grader(course, tmp_path) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) > 20  # two footprints
        (os.killpg if stop == signal.SIGINT else os.kill)(process.pid, stop)
        process.wait(60)
    assert eventually(lambda: not any(one.is_running() for one in family), 30)
    kept = len(list((tmp_path / "out" / "records").glob("*.json")))
    assert kept >= 1
    steps: list[str] = []
    results = grade_batch(order_of(course, tmp_path), steps.append)
    assert [one.score for one in results.submissions] == [11] * HANDED_IN
    assert any(f"(1 of {HANDED_IN - kept})" in step for step in steps)


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler with one worker, started as an operator would, and the folder of its certificates."""

    address: str
    tls: Path


@contextmanager
def dask(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    certificates = ["--tls-ca-file", "ca.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]
    argv = [sys.executable, "-m", "dask", *words, "--no-dashboard", *certificates]
    with subprocess.Popen(argv, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            if process.stderr:
                process.stderr.read()


def write_certificates(folder: Path) -> Path:
    folder.mkdir()
    made: Any = Security.temporary()
    for name, text in (("ca", made.tls_ca_file), ("cert", made.tls_client_cert), ("key", made.tls_client_key)):
        (folder / f"{name}.pem").write_text(text)
    return folder


@contextmanager
def running_cluster(folder: Path, *resources: str) -> Iterator[Cluster]:
    tls = write_certificates(folder / "tls")
    with ExitStack() as stack:
        port = _free_port()
        scheduler = ["scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", str(port)]
        stack.enter_context(dask(tls, *scheduler))
        address = f"tls://127.0.0.1:{port}"
        worker = ["worker", address, "--nthreads", "1", "--memory-limit", "0", "--local-directory", str(folder)]
        joined = stack.enter_context(dask(tls, *worker, *resources))
        assert joined.stderr
        assert any("Registered to" in line for line in joined.stderr)
        yield Cluster(address, tls)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@needs_root
@pytest.mark.slow
@pytest.mark.servers
def test_a_cluster_that_runs_already_grades_and_is_left_running(course: Path, tmp_path: Path) -> None:
    hand_in(tmp_path / "submitted", "ada")
    scores: dict[str, list[int | None]] = {}
    with running_cluster(tmp_path, "--resources", "footprint=1") as found:
        scheduler = scheduler_at(found.address, found.tls)
        for out in ("first", "second"):  # the worker is free again after the first
            order = order_of(course, tmp_path, out=tmp_path / out, scheduler=scheduler)
            scores[out] = [one.score for one in grade_batch(order, lambda _: None).submissions]
    assert scores == {"first": [11], "second": [11]}


@needs_root
@pytest.mark.slow
def test_a_cluster_without_a_footprint_or_with_other_certificates_is_refused(course: Path, tmp_path: Path) -> None:
    hand_in(tmp_path / "submitted", "ada")
    with running_cluster(tmp_path) as found:
        with pytest.raises(BadInputError, match="no worker with a footprint"):
            grade_batch(order_of(course, tmp_path, scheduler=scheduler_at(found.address, found.tls)), lambda _: None)
        stranger = scheduler_at(found.address, write_certificates(tmp_path / "stranger"))
        with pytest.raises(BadInputError, match="does not answer to these certificates"):
            grade_batch(order_of(course, tmp_path, scheduler=stranger), lambda _: None)


@pytest.mark.slow
def test_nobody_without_a_certificate_learns_anything_of_our_workers(tmp_path: Path) -> None:
    with cluster._started(1, tmp_path) as client:
        about = client.scheduler_info(n_workers=-1)
        workers = about["workers"].values()
        ports = [about["services"]["dashboard"], *(worker["services"]["dashboard"] for worker in workers)]
        pages = ("info/main/workers.html", "json/counts.json", "metrics", "health")
        for page in pages:
            for port in ports:
                assert httpx.get(f"http://127.0.0.1:{port}/{page}").status_code == httpx.codes.NOT_FOUND
        addresses = [about["address"], *about["workers"]]
    assert len(ports) == 2
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)


def test_a_scheduler_without_tls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not an address for TLS"):
        scheduler_at("tcp://127.0.0.1:8786", tmp_path)


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(BadInputError, match=r"There is no .*cert.pem, .*key.pem"):
        scheduler_at("tls://127.0.0.1:8786", tmp_path)


def test_what_was_not_begun_in_the_batches_time_is_not_graded(course: Path, tmp_path: Path) -> None:
    hand_in(tmp_path / "submitted", "ada")
    for workers in (1, WORKERS):
        results = grade_batch(order_of(course, tmp_path, seconds=0.0, workers=workers), lambda _: None)
        (result,) = results.submissions
        assert (result.verdict, result.score, result.error) == (SubmissionVerdict.NOT_GRADED, None, TIME_IS_UP)


@dataclass
class Ended:
    """A future as Dask gives it back."""

    answer: str = ""
    error: BaseException | None = None
    status: str = "finished"

    def exception(self) -> BaseException | None:
        return self.error

    def result(self) -> str:
        return self.answer


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(
        learner="ada",
        path=tmp_path,
        content=staged_digest(tmp_path),
        sha256="0" * 64,
        notes=(),
        params=derive("ada", TERM_KEY),
        seed="00",
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KilledWorker("task", WORKER, 1), "The worker that graded it died, and so did the next."),
        (RuntimeError("x"), "The worker that graded it failed (RuntimeError)."),
    ],
)
def test_a_worker_that_fails_costs_the_learner_nothing(
    course: Path, task: Task, error: BaseException, reason: str
) -> None:
    ended: Any = Ended(error=error, status="error")
    result = cluster._outcome(ended, small_spec(course), task).result
    assert (result.verdict, result.score, result.error) == (SubmissionVerdict.NOT_GRADED, None, reason)


def test_a_worker_without_a_footprint_ends_the_batch_with_its_own_words(course: Path, task: Task) -> None:
    fault = Fault.of(FootprintError("no memory", hint="Buy some."))
    ended: Any = Ended(answer=Answer(fault=fault).model_dump_json())
    with pytest.raises(FootprintError, match="no memory"):
        cluster._outcome(ended, small_spec(course), task)


def test_a_scheduler_that_has_gone_ends_the_batch_with_a_sentence(course: Path, task: Task) -> None:
    ended: Any = Ended(status="cancelled")
    with pytest.raises(FootprintError, match="have gone"):
        cluster._outcome(ended, small_spec(course), task)


def test_another_submissions_result_is_not_taken(course: Path, task: Task, tmp_path: Path) -> None:
    other = not_graded(small_spec(course), task.model_copy(update={"learner": "ben"}), "x")
    ended: Any = Ended(answer=Answer(graded=Kept.of(other)).model_dump_json())
    assert "another submission" in (cluster._outcome(ended, small_spec(course), task).result.error or "")


def test_what_is_staged_has_a_digest_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    first = staged_digest(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = staged_digest(tmp_path)
    (tmp_path / "a" / "y").write_bytes(b"2")
    assert len({first, second, staged_digest(tmp_path)}) == 3


@pytest.mark.parametrize(("seconds", "words"), [(4.0, "10 s"), (40.0, "40 s"), (90.0, "2 min")])
def test_what_is_left_is_estimated_from_what_was_done(
    monkeypatch: pytest.MonkeyPatch, seconds: float, words: str
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said: list[str] = []
    pace = Pace(3, said.append)
    pace.begin()
    now[0] += seconds / 2
    pace.counted("ada")
    assert said == [f"1 of 3 graded, last ada, about {words} left"]
