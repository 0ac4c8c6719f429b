"""A course with small notebooks, and submissions to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import settings

from environments.labspec import LabSpec, TaskSpec, load_lab
from graders.release import release

COURSE = Path(__file__).parents[2]
SLUG = "zero-trust"
Submit = Callable[..., Path]

# A busy machine is no reason to fail a law.
settings.register_profile("course", deadline=None)
settings.load_profile("course")


def source_notebook(task: TaskSpec) -> dict[str, Any]:
    """A source notebook of one task: lesson, answer, written answer, grade cell, and a closing cell without an id."""
    low = task.id.lower()
    answer = f"lab = 1\n### BEGIN SOLUTION\nsecret_answer_{low.replace('-', '_')} = 42\n### END SOLUTION\nprint(lab)"
    cells = [
        _cell("markdown", f"# {task.title}", f"{low}-lesson", locked=True),
        _cell("code", "from environments.lab import open_lab", f"{low}-setup", locked=True),
        _cell("code", answer, f"{low}-answer", solution=True),
        _cell("markdown", "Because of the secret reason.", f"{low}-why", solution=True, grade=True, points=0),
        _cell("code", f'lab.check("{task.id}")', task.id, locked=True, grade=True, points=task.points),
        nbformat.v4.new_markdown_cell("The end."),
    ]
    return dict(nbformat.v4.new_notebook(cells=cells))


def _cell(kind: str, source: str, grade_id: str, **marks: Any) -> Any:
    make: Any = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    base = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return make(source, metadata={"nbgrader": base | {"grade_id": grade_id} | marks})


@pytest.fixture(scope="session")
def zt_spec() -> LabSpec:
    """The real lab's tasks, checks and points."""
    return load_lab(COURSE, SLUG)


@pytest.fixture(scope="session")
def _released_course(tmp_path_factory: pytest.TempPathFactory, zt_spec: LabSpec) -> Path:
    course = tmp_path_factory.mktemp("released")
    sources = course / "solutions" / SLUG / "notebooks"
    sources.mkdir(parents=True)
    (course / "labs" / SLUG).mkdir(parents=True)
    shutil.copy(COURSE / "labs" / SLUG / "lab.yaml", course / "labs" / SLUG)
    for task in zt_spec.tasks:
        (sources / task.notebook).write_text(json.dumps(source_notebook(task)))
    release(course, SLUG)
    return course


@pytest.fixture
def small_course(_released_course: Path, tmp_path: Path) -> Path:
    """A course folder of one's own, its notebooks released."""
    return Path(shutil.copytree(_released_course, tmp_path / "course"))


@pytest.fixture
def released(small_course: Path) -> Path:
    """The folder of released notebooks."""
    return small_course / "labs" / SLUG / "notebooks"


@pytest.fixture
def submit(released: Path, tmp_path: Path) -> Submit:
    """Hand in the released notebooks for a learner, with `files` (path -> text or bytes) over them."""

    def hand_in(learner: str, files: dict[str, str | bytes] | None = None) -> Path:
        folder = tmp_path / "submitted" / learner / SLUG
        shutil.copytree(released, folder)
        for name, data in (files or {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return folder

    return hand_in
