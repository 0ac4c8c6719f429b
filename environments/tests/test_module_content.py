"""The module as a whole: numbers agree with the labs, and what a lab is answerable for is taught and checked in it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from environments.labspec import LabSpec, TaskSpec, load_lab
from environments.modulespec import MODULE_FILE, Aspect, Coverage, Goal, ModuleSpec, Part, load_module

COURSE = Path(__file__).parents[2]
MODULE: ModuleSpec = load_module(COURSE)
LABS: dict[str, LabSpec] = {
    path.parent.name: load_lab(COURSE, path.parent.name) for path in sorted(COURSE.glob("labs/*/lab.yaml"))
}
HERE: dict[str, tuple[LabSpec, TaskSpec]] = {task.id: (lab, task) for lab in LABS.values() for task in lab.tasks}
ASPECTS: list[tuple[Goal, Aspect]] = [(goal, aspect) for goal in MODULE.goals for aspect in goal.aspects]
TAUGHT: list[tuple[Goal, Aspect, Coverage]] = [
    (goal, aspect, one) for goal, aspect in ASPECTS for one in aspect.by if one.task in HERE
]
WORDS_OF_A_LESSON = 100


@cache
def cells(slug: str, notebook: str) -> dict[str, dict[str, Any]]:
    found = json.loads((COURSE / "labs" / slug / "notebooks" / notebook).read_text())["cells"]
    return {cell["id"]: cell for cell in found}


def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((COURSE / MODULE_FILE).read_text())
    return loaded


def named(part: str) -> Part:
    found = MODULE.part(part)
    assert found
    return found


@pytest.mark.parametrize("slug", LABS)
def test_minutes_points_and_titles_are_the_labs(slug: str) -> None:
    planned = {task.id: (task.title, task.minutes, task.points) for task in named(slug).tasks}
    for task in LABS[slug].tasks:
        assert planned[task.id] == (task.title, task.minutes, task.points)
    assert named(slug).title == LABS[slug].title


@pytest.mark.parametrize("slug", LABS)
def test_a_labs_tasks_come_in_the_modules_order(slug: str) -> None:
    ours = [task.id for task in LABS[slug].tasks]
    assert [task.id for task in named(slug).tasks if task.id in ours] == ours


def test_the_module_is_as_long_as_the_roadmap_says() -> None:
    assert sum(MODULE.hours.model_dump().values()) == 40
    assert [len(goals) for goals in (MODULE.objectives, MODULE.topics, MODULE.competencies)] == [3, 6, 2]


@pytest.mark.parametrize("one", TAUGHT, ids=lambda one: f"{one[0].id}-{one[1].name}-{one[2].task}")
def test_what_a_task_covers_is_taught_and_checked_in_it(one: tuple[Goal, Aspect, Coverage]) -> None:
    _, _, coverage = one
    lab, task = HERE[coverage.task]
    assert coverage.taught, "a task that is here says which cell teaches it"
    cell = cells(lab.slug, task.notebook)[coverage.taught]
    text = "".join(cell["source"])
    assert cell["cell_type"] == "markdown"
    assert text.startswith("## ")
    assert len(text.split()) >= WORDS_OF_A_LESSON
    assert set(coverage.checked) <= {check.id for check in task.checks}


@pytest.mark.parametrize("slug", LABS)
def test_every_check_of_a_lab_serves_an_objective_a_topic_and_a_competency(slug: str) -> None:
    for goals in (MODULE.objectives, MODULE.topics, MODULE.competencies):
        served = {check for goal in goals for aspect in goal.aspects for one in aspect.by for check in one.checked}
        assert {task.id for task in LABS[slug].tasks} <= {check.rpartition(".")[0] for check in served}
    all_served = {check for _, aspect in ASPECTS for one in aspect.by for check in one.checked}
    assert {check.id for check in LABS[slug].checks} <= all_served


def test_what_is_not_here_yet_belongs_to_a_part_that_is_named() -> None:
    owners = {task.id: part.id for part in MODULE.parts for task in part.tasks}
    for goal, aspect in ASPECTS:
        for one in aspect.by:
            # A lab that is here vouches for its tasks with cell and checks; another one is only named.
            assert bool(one.checked) == (owners[one.task] in LABS), (goal.id, one.task)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda module: module["parts"][0]["tasks"][0].update(minutes=61), "zero-trust: its tasks take 421 minutes"),
        (lambda module: module["parts"][0]["tasks"][0].update(points=16), "zero-trust: its tasks have 101 points"),
        (lambda module: module["hours"].update(project=7), "project: parts take 6.0 hours, not 7.0"),
        (lambda module: module["parts"][1]["tasks"][0].update(id="ZT-1"), "ZT-1 is there 2 times"),
        (lambda module: module["topics"][2]["aspects"][0]["by"][0].update(task="CA-9"), "there is no task CA-9"),
        (
            lambda module: module["topics"][1]["aspects"][1]["by"][0].update(checked=["ZT-2.1"]),
            "ZT-2.1 is no check of ZT-1",
        ),
        (lambda module: module["topics"][1]["aspects"][1]["by"][0].update(checked=[]), "say both"),
        (lambda module: module["objectives"][0]["aspects"].clear(), "at least 1 item"),
        (lambda module: module.update(more=1), "Extra inputs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_module_that_does_not_add_up_is_refused(change: Any, words: str) -> None:
    module = raw()
    ModuleSpec.model_validate(module)
    change(module)
    with pytest.raises(ValidationError, match=words):
        ModuleSpec.model_validate(module)
