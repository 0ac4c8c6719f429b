"""`mod209 grade` stopped in each of its phases, politely or not: nothing is left running, and the next run carries on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from graders.cage import cgroup, slots
from graders.tests.small import SLUG, hand_in, small_course, small_spec

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can grade"),
]
SECONDS = 240.0
FORKER = "graders.judge.forker"


@dataclass
class Grader:
    """`mod209 grade` as a process, in a course; the footprint and all other files of its own are below `places`."""

    course: Path
    folder: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.places.mkdir(exist_ok=True)
        argv = ["grade", SLUG, str(self.folder / "submitted"), "--out", str(self.out)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "assessment", *argv],
            cwd=self.course,
            env=os.environ | {"TMPDIR": str(self.places), "MOD209_CONFIG": str(self.folder), "COLUMNS": "300"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def places(self) -> Path:
        return self.folder / "tmp"

    def say(self, text: str) -> None:
        """Wait until a line of its progress holds `text`."""
        for line in self._read():
            if text in line:
                return
        raise AssertionError("".join(self.lines))

    def run_until(self, has: Callable[[psutil.Process], bool]) -> None:
        """Wait until a process below it is such."""
        deadline = time.monotonic() + SECONDS
        while not any(map(has, self.family())):
            assert self.process.poll() is None, "".join(self.lines)
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def family(self) -> list[psutil.Process]:
        try:
            return list(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    def end(self) -> int:
        """Wait for its end; returns the exit status."""
        list(self._read())
        return self.process.wait(SECONDS)

    def _read(self) -> Iterator[str]:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            yield line


@contextmanager
def grader(course: Path, folder: Path) -> Iterator[Grader]:
    started = Grader(course, folder)
    try:
        yield started
    finally:
        started.process.kill()
        started.end()
        if started.process.stderr:
            started.process.stderr.close()


def is_caged(process: psutil.Process) -> bool:
    return _seen(lambda: process.uids().real >= slots.FIRST_UID)


def is_judge(process: psutil.Process) -> bool:
    """Whether it is forked from the clean process, whose command line it shares."""
    return _seen(lambda: all(FORKER in (one.cmdline() if one else ()) for one in (process, process.parent())))


def _seen(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def proving(running: Grader) -> None:
    running.say("proving the cage")


def starting(running: Grader) -> None:
    running.say("vault is ready")


def caged(running: Grader) -> None:
    running.say("ada (1 of 2)")
    running.run_until(is_caged)


def judging(running: Grader) -> None:
    running.say("ben (2 of 2)")
    running.run_until(is_judge)


def writing(running: Grader) -> None:
    running.say("writing reports")


def interrupt(running: Grader) -> None:
    """Ctrl-C, which a terminal sends to the whole group."""
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.end() == 130, "".join(running.lines)
    assert "Interrupted. Nothing is left running" in running.lines[-1]
    assert "Traceback" not in "".join(running.lines)
    assert list(running.places.iterdir()) == []


def kill(running: Grader) -> None:
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait(SECONDS)


def strays(places: Path) -> list[list[str]]:
    """Command lines of processes that name one of a grader's own files."""
    lines: list[list[str]] = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(str(places) in word for word in line)]


def abandoned_cgroups() -> list[str]:
    names = {path.name for folder in cgroup.hierarchy().folders.values() for path in folder.glob("mod209-cage-*")}
    left = []
    for name in names:
        with slots.abandoned(name) as free:
            left += [name] * free
    return left


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Let Ctrl-C reach what is started, even where these tests run in the background and ignore it themselves."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_course(tmp_path_factory.mktemp("small"))


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("stop", [interrupt, pytest.param(kill, marks=pytest.mark.thorough)])
def test_a_batch_stopped_in_every_phase_loses_nothing_that_was_graded(
    course: Path, tmp_path: Path, stop: Callable[[Grader], None]
) -> None:
    for learner in ("ada", "ben"):
        hand_in(tmp_path / "submitted", learner)
    records = tmp_path / "out" / "records"
    kept: dict[str, list[str]] = {}
    for reach in (proving, starting, caged, judging, writing):
        with grader(course, tmp_path) as running:
            reach(running)
            family = running.family()
            stop(running)
            _, alive = psutil.wait_procs(family, timeout=30)
            assert alive == []
        assert strays(tmp_path) == []
        kept[reach.__name__] = sorted(path.stem for path in records.glob("*.json"))
        for path in (tmp_path / "out").rglob("[!.]*.json"):
            json.loads(path.read_text())
    assert kept == {"proving": [], "starting": [], "caged": [], "judging": ["ada"], "writing": ["ada", "ben"]}
    assert abandoned_cgroups() == []
    _check_last_run(course, tmp_path)


def _check_last_run(course: Path, folder: Path) -> None:
    with grader(course, folder) as running:
        assert running.end() == 0, "".join(running.lines)
    assert [line.strip() for line in running.lines] == [f"Grading {SLUG}: writing reports"]
    results = json.loads((folder / "out" / "results.json").read_text())
    assert [one["score"] for one in results["submissions"]] == [small_spec(course).points] * 2
    assert list((folder / "out").rglob("*.part")) == []
