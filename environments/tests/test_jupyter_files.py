"""The learner's own folder, and what runs in it: nothing of theirs is lost, and nothing is left running."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from environments.errors import BadInputError, ToolError
from environments.jupyter.clean import _put_back
from environments.jupyter.minded import minded
from environments.jupyter.server import need_jupyterlab
from environments.jupyter.workfolder import WorkFolder, read_notebook, source
from environments.labspec import load_lab

COURSE = Path(__file__).parents[2]
SPEC = load_lab(COURSE, "zero-trust")
FIRST = SPEC.tasks[0].notebook


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    """A folder that the course has filled."""
    folder = WorkFolder(path=tmp_path / "work", course=COURSE, spec=SPEC)
    folder.fill()
    return folder


def edit(path: Path, number: int, text: str) -> None:
    notebook = read_notebook(path)
    notebook["cells"][number]["source"] = text
    path.write_text(json.dumps(notebook))


def code_cell(path: Path) -> int:
    return next(n for n, cell in enumerate(read_notebook(path)["cells"]) if cell["cell_type"] == "code")


def test_a_new_folder_gets_all_notebooks_and_the_desk(tmp_path: Path) -> None:
    folder = WorkFolder(path=tmp_path / "deep" / "work", course=COURSE, spec=SPEC)
    new = folder.fill()
    assert set(new) == {*folder.notebooks, "desk.ipynb"}
    assert all((folder.path / name).is_file() for name in new)
    assert not [path for path in folder.path.iterdir() if path.name.startswith(".")]


def test_work_is_never_overwritten_and_what_is_new_is_added(work: WorkFolder) -> None:
    mine = work.path / FIRST
    mine.write_text("mine")
    (work.path / "desk.ipynb").unlink()
    assert work.fill() == ["desk.ipynb"]
    assert mine.read_text() == "mine"


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("")
    with pytest.raises(BadInputError, match="not a folder"):
        WorkFolder(path=tmp_path / "work", course=COURSE, spec=SPEC).fill()


def test_only_changed_code_counts_as_begun(work: WorkFolder) -> None:
    assert work.begun() == []
    notebook = read_notebook(work.path / FIRST)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [{"output_type": "stream", "name": "stdout", "text": "x"}], 3
    (work.path / FIRST).write_text(json.dumps(notebook))
    assert work.begun() == []
    edit(work.path / FIRST, code_cell(work.path / FIRST), "mine = 1")
    assert work.begun() == [FIRST]


def test_a_damaged_notebook_is_named(work: WorkFolder) -> None:
    (work.path / FIRST).write_text("{")
    with pytest.raises(BadInputError, match=FIRST):
        work.begun()


def test_locked_cells_are_put_back_and_named(work: WorkFolder) -> None:
    path = work.path / FIRST
    number = code_cell(path)
    edit(path, number, "tampered = True")
    assert _put_back(path, work.released(FIRST)) == [f"{FIRST}: locked cell zt-1-setup"]
    assert source(read_notebook(path)["cells"][number]) == source(read_notebook(work.released(FIRST))["cells"][number])
    assert _put_back(path, work.released(FIRST)) == []


def test_what_is_missing_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="JupyterLab is not installed"):
        need_jupyterlab()


# Starts a process in a session of its own whose parent ends at once, and prints its pid.
STRAY = """
import subprocess, sys, time
shell = subprocess.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, text=True)
print(shell.stdout.strip(), flush=True)
time.sleep(600)
"""


def test_everything_that_was_started_ends_with_the_context(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("wb") as log,
        minded([sys.executable, "-c", STRAY], env={}, cwd=COURSE, errors=log, output=subprocess.PIPE) as minder,
    ):
        assert minder.stdout
        stray = int(minder.stdout.readline())
        family = [*psutil.Process(minder.pid).children(recursive=True), psutil.Process(minder.pid)]
        assert psutil.pid_exists(stray)
    assert not psutil.pid_exists(stray)
    assert psutil.wait_procs(family, timeout=20)[1] == []


def test_everything_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, STRAY, str(tmp_path / "log")], cwd=COURSE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    with owner.stdout:
        stray = psutil.Process(int(owner.stdout.readline()))
        family = [*psutil.Process(owner.pid).children(recursive=True), stray]
        owner.kill()
        owner.wait()
    assert psutil.wait_procs(family, timeout=30)[1] == []


OWNER = """
import subprocess, sys
from pathlib import Path
from environments.jupyter.minded import minded
with (
    open(sys.argv[2], "wb") as log,
    minded([sys.executable, "-c", sys.argv[1]], env={}, cwd=Path(), errors=log, output=subprocess.PIPE) as minder,
):
    print(minder.stdout.readline().decode(), flush=True)
    minder.wait()
"""
