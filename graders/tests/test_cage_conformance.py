"""What every cage must do, written against the `Cage` protocol."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from graders.cage import Cage, Job, Limits, Outcome, Status
from graders.tests.cage_jobs import CAGES, LOOK, eventually, running, server, shown, submission

pytestmark = pytest.mark.slow
SMALL = Limits(memory_bytes=300 << 20, processes=64, cpu_seconds=40, wall_seconds=60, cell_seconds=20)


@pytest.fixture(scope="module", params=CAGES)
def cage(request: pytest.FixtureRequest) -> Cage:
    made: Cage = request.param()
    made.prove()
    return made


@pytest.fixture
def run(cage: Cage, tmp_path: Path) -> Callable[..., Outcome]:
    """Run notebooks, given as lists of cells by name, in their order."""

    def run(limits: Limits = SMALL, **notebooks: list[str]) -> Outcome:
        names = tuple(f"{name}.ipynb" for name in notebooks)
        folder = submission(tmp_path / secrets.token_hex(4), **notebooks)
        return cage.run(Job(files=folder, notebooks=names, access=b"{}", limits=limits))

    return run


@dataclass(frozen=True)
class Look:
    outcome: Outcome
    seen: dict[str, Any]


@pytest.fixture(scope="module")
def look(cage: Cage, tmp_path_factory: pytest.TempPathFactory) -> Look:
    """What one notebook saw of everything around it."""
    folder = tmp_path_factory.mktemp("look")
    (folder / "secret").write_text("the term key")
    (folder / "secret").chmod(0o600)
    course = folder / "zero-trust"
    course.mkdir()
    (course / "lab.yaml").write_text("public: yes")
    project = Path(__file__).resolve().parents[2]
    hidden = [str(path) for path in (project, project / "graders", project / "solutions", folder)]
    os.environ["MOD209_TEST_HOST_VARIABLE"] = "leak"
    with server(lambda path: f"granted {path}") as granted, server(lambda _: "not for learners") as ungranted:
        cell = LOOK.format(granted=granted, ungranted=ungranted, secret=folder / "secret", project=hidden)
        files = submission(folder / "submission", look=[cell])
        (files / "starter").mkdir()
        (files / "starter" / "policy.rego").write_text("package mod209.admission")
        access = b'{"role": "operator"}'
        job = Job(files=files, notebooks=("look.ipynb",), access=access, ports=(granted,), course=course, limits=SMALL)
        outcome = cage.run(job)
    del os.environ["MOD209_TEST_HOST_VARIABLE"]
    (answer,) = shown(outcome.notebooks["look.ipynb"])
    return Look(outcome, json.loads(answer))


def test_run_ends_well_and_tells_its_cost(look: Look) -> None:
    assert look.outcome.status is Status.FINISHED
    assert look.outcome.detail == ""
    assert 0 < look.outcome.seconds < SMALL.wall_seconds
    assert look.outcome.peak_memory_bytes is None or 0 < look.outcome.peak_memory_bytes <= SMALL.memory_bytes


def test_caged_user_is_real_and_powerless(look: Look) -> None:
    uids = {*look.seen["uids"], *look.seen["gids"], *look.seen["groups"]}
    assert len(uids) == 1
    assert uids.isdisjoint({0, 65534, os.getuid()})
    assert {int(mask, 16) for mask in look.seen["capabilities"]} == {0}
    assert look.seen["privileges"] == "1"


def test_only_the_granted_port_answers(look: Look) -> None:
    assert look.seen["granted"] == "granted /hello"
    assert look.seen["ungranted"] == "ConnectionRefusedError"
    assert look.seen["external"] == "OSError"
    assert look.seen["dns"] == "gaierror"


def test_learner_finds_access_course_and_own_files(look: Look) -> None:
    assert look.seen["access"] == '{"role": "operator"}'
    assert look.seen["access_mode"] == "0o600"
    assert look.seen["course"] == ["lab.yaml"]
    assert look.seen["starter"] == "package mod209.admission"
    assert look.seen["environments"] == "environments"


def test_host_project_and_secrets_are_absent(look: Look) -> None:
    assert look.seen["secret"] == "FileNotFoundError"
    assert look.seen["project"] == []
    assert look.seen["imports"] == ["ModuleNotFoundError"] * 3
    assert look.seen["host_variable"] is None


def test_nothing_but_the_work_folder_can_be_written(look: Look) -> None:
    assert look.seen["writes"] == []
    assert look.seen["course_write"] in {"OSError", "PermissionError"}
    assert look.seen["too_large"] == "OSError"


def test_other_processes_are_out_of_sight_and_reach(look: Look) -> None:
    assert look.seen["processes"] <= 4  # first process, runner, kernel, and perhaps a helper
    assert look.seen["ptrace"] == -1
    assert look.seen["first"] == look.seen["runner"] == ["PermissionError", "PermissionError"]
    assert look.seen["killed"] in {"", "PermissionError"}  # the kernel may say nothing, and do nothing


def test_cells_after_an_error_run_and_each_notebook_has_a_fresh_kernel(run: Callable[..., Outcome]) -> None:
    outcome = run(one=["x = 1\nprint('before')", "1 / 0", "print('after')"], two=["print('x' in globals())"])
    assert outcome.status is Status.FINISHED
    assert shown(outcome.notebooks["one.ipynb"]) == ["before\n", "ZeroDivisionError", "after\n"]
    assert shown(outcome.notebooks["two.ipynb"]) == ["False\n"]


def test_hanging_cell_is_interrupted_and_the_rest_runs(run: Callable[..., Outcome]) -> None:
    outcome = run(replace(SMALL, cell_seconds=1), one=["while True: pass", "print('next')"])
    first, second = shown(outcome.notebooks["one.ipynb"])
    assert outcome.status is Status.FINISHED
    assert "interrupted after 1 s" in first
    assert second == "next\n"


def test_cell_that_shrugs_off_interrupts_costs_its_kernel_alone(run: Callable[..., Outcome]) -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    outcome = run(replace(SMALL, cell_seconds=1), one=[stubborn, "print('never')"], two=["print('two')"])
    assert outcome.status is Status.FINISHED
    assert "one.ipynb: DeadKernelError" in outcome.detail
    assert shown(outcome.notebooks["two.ipynb"]) == ["two\n"]


@pytest.mark.parametrize("death", ["import os; os._exit(0)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_killed_kernel_leaves_the_next_notebook_alone(run: Callable[..., Outcome], death: str) -> None:
    outcome = run(one=["print('seen')", death], two=["print('two')"])
    assert outcome.status is Status.FINISHED
    assert "DeadKernelError" in outcome.detail
    assert shown(outcome.notebooks["one.ipynb"])[0] == "seen\n"
    assert shown(outcome.notebooks["two.ipynb"]) == ["two\n"]


def test_killed_runner_keeps_what_was_finished(run: Callable[..., Outcome]) -> None:
    outcome = run(one=["print('one')"], two=["import os, signal; os.kill(os.getppid(), signal.SIGKILL)"])
    assert outcome.status is Status.CRASHED
    assert shown(outcome.notebooks["one.ipynb"]) == ["one\n"]
    assert "two.ipynb" not in outcome.notebooks


def test_memory_hog_is_killed(run: Callable[..., Outcome]) -> None:
    outcome = run(one=["hoard = [b'x' * (1 << 24) for _ in range(64)]"], two=["print('two')"])
    assert outcome.status is Status.FINISHED
    assert "want of memory" in outcome.detail
    assert outcome.peak_memory_bytes is None or outcome.peak_memory_bytes <= SMALL.memory_bytes
    assert shown(outcome.notebooks["two.ipynb"]) == ["two\n"]


def test_fork_bomb_is_contained_and_cleared(run: Callable[..., Outcome]) -> None:
    token = secrets.token_hex(8)
    bomb = f"import subprocess\nwhile True: subprocess.Popen(['sh', '-c', ': {token}; $0 & $0; sleep 300', 'sh'])"
    outcome = run(replace(SMALL, wall_seconds=12, cell_seconds=3), one=[bomb, "print('after')"])
    assert outcome.status in {Status.FINISHED, Status.TIMEOUT, Status.CRASHED, Status.KILLED}
    assert outcome.seconds < 20
    assert running(token) == []


def test_endless_printing_costs_its_cell_alone(run: Callable[..., Outcome]) -> None:
    # With the memory of a real run: what is printed waits in queues until it is read, more of it on a busy machine.
    limits = replace(SMALL, memory_bytes=Limits().memory_bytes)
    outcome = run(limits, one=["while True: print('x' * 1000)", "print('next')"])
    first, second = shown(outcome.notebooks["one.ipynb"])
    assert outcome.status is Status.FINISHED
    assert "printed too much" in first
    assert second == "next\n"
    assert len(outcome.notebooks["one.ipynb"]) < 3 << 20


def test_flood_past_the_notebook_ends_the_run(run: Callable[..., Outcome]) -> None:
    # The kernel keeps copies of what it was started with, and these lead out of the cage.
    flood = """
import os
out = [n for n in map(int, os.listdir("/proc/self/fd")) if n > 2 and os.path.islink(f"/proc/self/fd/{n}")
       and os.readlink(f"/proc/self/fd/{n}").startswith("pipe:")]
while True:
    for n in out:
        try: os.write(n, bytes(1 << 16))
        except OSError: pass
"""
    outcome = run(replace(SMALL, output_bytes=1 << 20), one=[flood])
    assert outcome.status is Status.OUTPUT_LIMIT
    assert outcome.seconds < SMALL.cell_seconds


def test_results_pipe_is_out_of_a_cells_reach(run: Callable[..., Outcome]) -> None:
    forge = """
import glob, json, os, struct
opened = [open(f"/proc/self/fd/{n}", "wb", buffering=0) for n in (1, 2)]
for path in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        if os.readlink(path).startswith(("pipe:", "socket:")): opened.append(open(path, "wb", buffering=0))
    except OSError: pass
opened += [open(n, "wb", buffering=0, closefd=False) for n in range(3, 200) if os.path.lexists(f"/proc/self/fd/{n}")
           and os.readlink(f"/proc/self/fd/{n}").startswith("pipe:")]
for header in ({"kind": "notebook", "name": "two.ipynb"}, {"kind": "done"}):
    text = json.dumps(header).encode()
    for file in opened:
        os.set_blocking(file.fileno(), False)
        try: file.write(struct.pack(">HI", len(text), 6) + text + b"forged")
        except OSError: pass
print("forged")
"""
    outcome = run(one=[forge], two=["print('two')"])
    assert outcome.status is Status.FINISHED
    assert "forged\n" in shown(outcome.notebooks["one.ipynb"])[0]
    assert shown(outcome.notebooks["two.ipynb"]) == ["two\n"]


def test_sleeping_past_the_wall_limit_ends_the_run(run: Callable[..., Outcome]) -> None:
    outcome = run(replace(SMALL, wall_seconds=5), one=["import time; time.sleep(600)"])
    assert outcome.status is Status.TIMEOUT
    assert 5 <= outcome.seconds < 9


def test_cpu_time_of_all_processes_together_is_limited(run: Callable[..., Outcome]) -> None:
    spin = "import os\nfor _ in range(4):\n    if os.fork() == 0:\n        while True: pass\nwhile True: pass"
    # A busy machine gives a cage little CPU time, so the clocks are far off.
    outcome = run(replace(SMALL, cpu_seconds=5, cell_seconds=240, wall_seconds=240), one=[spin])
    assert outcome.status is Status.TIMEOUT
    assert "CPU" in outcome.detail


def test_daemon_does_not_outlive_the_run(run: Callable[..., Outcome]) -> None:
    token = f"300.{secrets.randbelow(10**12):012d}"
    daemon = f"""
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "{token}"])
    os._exit(0)
"""
    outcome = run(one=[daemon, "print('done')"])
    assert outcome.status is Status.FINISHED
    assert eventually(lambda: not running(token), 5)


def test_two_cages_at_once_are_strangers(cage: Cage, tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=30)

    def meet(path: str) -> str:
        meeting.wait()
        return path

    with server(meet) as port, ThreadPoolExecutor(2) as pool:
        cell = f"""
import glob, os, urllib.request
def meet(): urllib.request.urlopen("http://127.0.0.1:{port}/", timeout=40).read()
for folder in (".", "/tmp", "/dev/shm"):
    open(f"{{folder}}/mark-{{os.getuid()}}", "w")
meet()
marks = [path for folder in (".", "/tmp", "/dev/shm", "/home/*", "/proc/[0-9]*/cwd", "/proc/[0-9]*/root/tmp")
         for path in glob.glob(folder + "/mark-*")]
print(os.getuid(), all(path.endswith(f"-{{os.getuid()}}") for path in marks), len(marks) >= 3)
meet()
"""
        jobs = [
            Job(files=submission(tmp_path / name, one=[cell]), notebooks=("one.ipynb",), access=b"{}", ports=(port,))
            for name in ("left", "right")
        ]
        answers = [shown(outcome.notebooks["one.ipynb"])[0].split() for outcome in pool.map(cage.run, jobs)]
    assert len({uid for uid, *_ in answers}) == 2
    assert [rest for _, *rest in answers] == [["True", "True"]] * 2
