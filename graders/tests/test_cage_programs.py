"""What every cage must do with one program, seen from the host."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from environments.errors import CageError
from graders.cage import Job, Status, canary, cgroup, interpreter
from graders.cage.confined import Confined
from graders.cage.root import ROOT_ONLY
from graders.tests.cage_jobs import CAGES, ConfiningCage, caged, submission


@pytest.fixture(params=CAGES)
def cage(request: pytest.FixtureRequest) -> ConfiningCage:
    made: Callable[[], ConfiningCage] = request.param
    return made()


def test_host_sees_the_cages_own_uid_and_nothing_stays(cage: ConfiningCage) -> None:
    left: list[cgroup.Cgroup] = []

    def look(confined: Confined, _frame: object) -> None:
        left.append(confined.cgroup)
        assert confined.cgroup.pids() - {confined.first}
        assert canary._is_own_user(confined)

    ending = caged("send('ready'); send('done'); time.sleep(20)", start=cage.start, seen=look)
    assert ending.status is Status.FINISHED
    assert not [folder for group in left for folder in group.distinct if folder.exists()]


@pytest.mark.parametrize(
    "nonsense",
    [
        "os.write(results, b'\\xff' * 100)",
        "os.write(results, struct.pack('>HI', 2, 0) + b'[]')",
        "os.write(results, struct.pack('>HI', 4000, 0) + b'[' * 4000)",
        "\nwhile True: send('ready')",
    ],
)
def test_nonsense_on_the_results_pipe_ends_the_run(cage: ConfiningCage, nonsense: str) -> None:
    ending = caged(f"{nonsense}\ntime.sleep(15)", start=cage.start)
    assert ending.status is Status.CRASHED
    assert "nonsense" in ending.reason
    assert ending.seconds < 10


def test_all_that_was_written_before_the_end_arrives(cage: ConfiningCage) -> None:
    script = "send('notebook', b'x' * (1 << 20))\nprint('last words', flush=True)\nos._exit(3)"
    ending = caged(script, start=cage.start)
    assert ending.status is Status.CRASHED
    assert [len(frame.body) for frame in ending.frames] == [1 << 20]
    assert ending.tail == "last words"
    assert ending.peak_memory_bytes


def test_payload_arrives_whole_and_at_its_beginning(cage: ConfiningCage) -> None:
    script = "send('ready', json.dumps([os.lseek(payload, 0, 1), os.fstat(payload).st_size]).encode()); send('done')"
    ending = caged(script, start=cage.start, payload=b"x" * (3 << 20))
    assert json.loads(ending.frames[0].body) == [0, 3 << 20]


def test_run_that_takes_too_much_memory_itself_is_killed(cage: ConfiningCage) -> None:
    ending = caged("send('ready'); hoard = b'x' * (1 << 28)", start=cage.start)
    assert ending.status is Status.KILLED
    assert ending.reason == "out of memory (limit 64 MiB)"


def test_memory_that_belongs_to_no_process_ends_them_all(cage: ConfiningCage) -> None:
    hoard = "send('ready')\nwhile True: os.write(os.memfd_create('x'), bytes(1 << 20))"
    ending = caged(f"[os.fork() for _ in range(3)]\n{hoard}", start=cage.start)
    assert ending.status is Status.KILLED
    assert "out of memory" in ending.reason


def test_child_that_outlives_the_program_is_ended(cage: ConfiningCage) -> None:
    ending = caged("send('ready')\nif os.fork() == 0: time.sleep(60)", start=cage.start)
    assert ending.status is Status.CRASHED
    assert ending.seconds < 15


def test_root_only_file_is_there_and_shut(cage: ConfiningCage) -> None:
    script = f"send('ready', json.dumps([os.path.exists('{ROOT_ONLY}'), os.access('{ROOT_ONLY}', os.R_OK)]).encode())"
    assert caged(script, start=cage.start).frames[0].body == b"[true, false]"


def test_installed_graders_are_hidden_among_the_packages(
    cage: ConfiningCage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    for name in ("graders", "assessment", "nbclient"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    real = interpreter.current()
    monkeypatch.setattr(interpreter, "current", lambda: replace(real, packages=tmp_path))
    places = [str(real.packages_inside / name) for name in ("graders", "assessment", "nbclient")]
    script = f"send('ready', json.dumps([os.listdir(place) for place in {places}]).encode()); send('done')"
    assert caged(script, start=cage.start).frames[0].body == b'[[], [], ["__init__.py"]]'


def test_lab_that_the_caged_user_cannot_read_is_our_fault(cage: ConfiningCage, tmp_path: Path) -> None:
    course = tmp_path / "zero-trust"
    course.mkdir(mode=0o755)
    (course / "lab.yaml").touch(mode=0o600)
    job = Job(files=submission(tmp_path / "x", one=["1"]), notebooks=("one.ipynb",), access=b"{}", course=course)
    with pytest.raises(CageError, match="could not read") as caught:
        cage.run(job)
    assert "chmod" in caught.value.hint


def test_bad_notebook_and_missing_parts_do_not_stop_the_rest(cage: ConfiningCage, tmp_path: Path) -> None:
    files = submission(tmp_path, good=["print(1)"])
    (files / "bad.ipynb").write_text("{]")
    job = partial(Job, files=files, access=b"{}")
    outcome = cage.run(job(notebooks=("bad.ipynb", "good.ipynb")))
    assert outcome.status is Status.FINISHED
    assert outcome.detail.startswith("bad.ipynb: cannot be read")
    assert list(outcome.notebooks) == ["good.ipynb"]


def test_without_root_there_is_an_error_with_a_hint(cage: ConfiningCage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CageError, match="needs root") as caught:
        cage.prove()
    assert "sudo" in caught.value.hint
