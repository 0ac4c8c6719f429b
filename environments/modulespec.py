"""The module in numbers, as `labs/module.yaml` states it: parts, tasks, and which task teaches and checks what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from environments.labspec import SLUG
from environments.yamlfile import Strict, load_yaml

TASK_ID: Final = r"^[A-Z]{2}-\d+$"
LAB_POINTS: Final = 100
MODULE_FILE: Final = "labs/module.yaml"


class Hours(Strict):
    """Hours of the whole module, by kind."""

    lecture: float
    lab: float
    project: float
    assessment: float


class PartTask(Strict):
    """One task: minutes, and points where it is graded by checks."""

    id: str = Field(pattern=TASK_ID)
    title: str
    minutes: int = Field(ge=1)
    points: int | None = Field(default=None, ge=1)


class Part(Strict):
    """A lab, the project or the assessment; `met_when` is its completion criterion."""

    id: str = Field(pattern=f"^{SLUG.pattern}$")
    kind: Literal["lab", "project", "assessment"]
    title: str
    hours: float = Field(gt=0)
    met_when: str
    tasks: list[PartTask] = Field(min_length=1)


class Coverage(Strict):
    """One task that serves an aspect: the cell (by its id) that teaches it, and the checks that judge it.

    A task of a part whose lab is not in this course yet has neither; it says who will cover the aspect.
    """

    task: str = Field(pattern=TASK_ID)
    taught: str | None = None
    checked: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if bool(self.taught) != bool(self.checked):
            raise ValueError(f"{self.task}: say both what teaches it and what checks it, or neither")
        return self


class Aspect(Strict):
    """One thing that a goal names, and the tasks that cover it."""

    name: str
    by: list[Coverage] = Field(min_length=1)


class Goal(Strict):
    """A learning objective, a topic of the content or a competency, word for word as the roadmap has it."""

    id: str = Field(pattern=r"^[a-z]+-[a-z0-9-]+$")
    text: str
    target: str | None = None
    aspects: list[Aspect] = Field(min_length=1)


class ModuleSpec(Strict):
    """The whole of `module.yaml`."""

    schema_: Literal[1] = Field(alias="schema")
    id: str
    title: str
    hours: Hours
    parts: list[Part]
    objectives: list[Goal]
    topics: list[Goal]
    competencies: list[Goal]

    @property
    def goals(self) -> list[Goal]:
        """Objectives, topics and competencies."""
        return [*self.objectives, *self.topics, *self.competencies]

    def part(self, part_id: str) -> Part | None:
        """The part called `part_id`, if there is one."""
        return next((part for part in self.parts if part.id == part_id), None)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if problems := [*_sums(self), *_names(self)]:
            raise ValueError("; ".join(problems))
        return self


def load_module(course: Path) -> ModuleSpec:
    """The module of the course whose root folder is `course`.

    Raises:
        BadInputError: the file is missing, or is not as it must be.
    """
    return load_yaml(course / MODULE_FILE, ModuleSpec)


def _sums(module: ModuleSpec) -> Iterator[str]:
    for part in module.parts:
        minutes = sum(task.minutes for task in part.tasks)
        if minutes != 60 * part.hours:
            yield f"{part.id}: its tasks take {minutes} minutes, not {part.hours} hours"
        points = sum(task.points or 0 for task in part.tasks)
        if part.kind == "lab" and points != LAB_POINTS:
            yield f"{part.id}: its tasks have {points} points, not {LAB_POINTS}"
    for kind in ("lab", "project", "assessment"):
        hours = sum(part.hours for part in module.parts if part.kind == kind)
        if hours != (wanted := getattr(module.hours, kind)):
            yield f"{kind}: parts take {hours} hours, not {wanted}"


def _names(module: ModuleSpec) -> Iterator[str]:
    tasks = [task.id for part in module.parts for task in part.tasks]
    names = [*tasks, *(part.id for part in module.parts), *(goal.id for goal in module.goals)]
    yield from (f"{name} is there {times} times" for name, times in Counter(names).items() if times > 1)
    for goal in module.goals:
        for one in (one for aspect in goal.aspects for one in aspect.by):
            if one.task not in tasks:
                yield f"{goal.id}: there is no task {one.task}"
            yield from (
                f"{goal.id}: {check} is no check of {one.task}"
                for check in one.checked
                if check.rpartition(".")[0] != one.task
            )
