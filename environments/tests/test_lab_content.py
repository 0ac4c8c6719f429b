"""Notebooks and variants are whole: tasks, points and cells fit `lab.yaml`, and every edit finds its place."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.labspec import LabSpec, TaskSpec, load_lab

COURSE = Path(__file__).parents[2]
SOLUTIONS = COURSE / "solutions" / "zero-trust"
SPEC: LabSpec = load_lab(COURSE, "zero-trust")
VARIANTS = sorted(SOLUTIONS.glob("*/*/variant.yaml"))
CHECKS = {check.id for check in SPEC.checks}

pytestmark = pytest.mark.skipif(not SOLUTIONS.is_dir(), reason="this copy of the course holds no solutions")


@cache
def cells(notebook: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((SOLUTIONS / "notebooks" / notebook).read_text())["cells"]
    return found


@cache
def grade_ids(notebook: str) -> dict[str, str]:
    return {cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"]) for cell in cells(notebook)}


def variant(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


@cache
def killed() -> set[str]:
    return {check for path in SOLUTIONS.glob("broken/*/variant.yaml") for check in variant(path)["expected"]}


@pytest.mark.parametrize("task", SPEC.tasks, ids=lambda task: task.id)
def test_each_task_has_one_grade_cell_with_its_points(task: TaskSpec) -> None:
    graded = [cell for cell in cells(task.notebook) if cell["metadata"]["nbgrader"]["grade"]]
    assert [cell["metadata"]["nbgrader"]["points"] for cell in graded] == [task.points]
    assert "".join(graded[0]["source"]) == f'lab.check("{task.id}")'
    assert graded[0]["metadata"]["nbgrader"]["grade_id"] == task.id
    assert graded[0]["metadata"]["nbgrader"]["locked"]


@pytest.mark.parametrize("task", SPEC.tasks, ids=lambda task: task.id)
def test_cells_have_stable_names_and_no_output(task: TaskSpec) -> None:
    found = cells(task.notebook)
    names = [cell["metadata"]["nbgrader"]["grade_id"] for cell in found]
    assert names == [cell["id"] for cell in found]
    assert len(set(names)) == len(names)
    assert all(name.upper().startswith(task.id) for name in names)
    assert not any(cell.get("outputs") for cell in found)


@pytest.mark.parametrize("task", SPEC.tasks, ids=lambda task: task.id)
def test_each_task_says_its_points_and_minutes_and_has_something_to_solve(task: TaskSpec) -> None:
    sources = grade_ids(task.notebook)
    title = sources[f"{task.id.lower()}-title"]
    assert f"{task.minutes} minutes · {task.points} points" in title
    assert any("### BEGIN SOLUTION" in source for source in sources.values())


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.parent.name)
def test_each_edit_of_a_variant_finds_its_place_once(path: Path) -> None:
    loaded = variant(path)
    assert loaded["schema"] == 1
    sources = {name: text for task in SPEC.tasks for name, text in grade_ids(task.notebook).items()}
    assert loaded.get("cells", {}).keys() <= sources.keys()
    own = {cell: (path.parent / file).read_text() for cell, file in loaded.get("cells", {}).items()}
    for edit in loaded.get("edits", []):
        assert edit["cell"] in grade_ids(edit["notebook"])
        assert (sources | own)[edit["cell"]].count(edit["find"]) == 1, edit["find"]
    assert loaded.get("edits") or loaded.get("cells")


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.parent.name)
def test_each_variant_names_checks_that_exist(path: Path) -> None:
    loaded = variant(path)
    assert set(loaded["expected"]) <= CHECKS
    assert (path.parts[-3] == "alternatives") == (not loaded["expected"])
    assert loaded["title"]
    assert loaded["why"]


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_each_check_is_killed_by_a_variant(check: str) -> None:
    assert check in killed()


@pytest.mark.parametrize("task", SPEC.tasks, ids=lambda task: task.id)
def test_each_task_has_four_faults_and_another_right_way(task: TaskSpec) -> None:
    prefix = task.id.lower()
    assert len(list(SOLUTIONS.glob(f"broken/{prefix}-*/variant.yaml"))) >= 4
    assert list(SOLUTIONS.glob(f"alternatives/{prefix}-*/variant.yaml"))
