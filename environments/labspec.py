"""What a lab consists of: its tasks, checks and points, as `labs/<slug>/lab.yaml` states them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from environments.errors import BadInputError
from environments.yamlfile import Strict, load_yaml

SLUG = re.compile(r"[a-z]+(-[a-z]+)*")
Capability = Literal["admission", "identity", "secrets", "traffic", "runtime"]
PolicyEngine = Literal["", "gatekeeper", "kyverno"]  # beside OPA, on provider kind


class CheckSpec(Strict):
    """One graded statement about a task. `critical` ones must pass for the lab's criterion to be met."""

    id: str = Field(pattern=r"^[A-Z]{2}-\d+\.\d+$")
    title: str
    points: int = Field(ge=1)
    critical: bool = False


class TaskSpec(Strict):
    """One task: its notebook, its minutes, the capability of the footprint that its checks need, and the checks.

    `prerequisites` are earlier tasks whose work this one stands on.
    """

    id: str = Field(pattern=r"^[A-Z]{2}-\d+$")
    title: str
    notebook: str = Field(pattern=r"^[a-z0-9-]+\.ipynb$")
    minutes: int = Field(ge=1)
    needs: Capability
    prerequisites: list[str] = Field(default_factory=list)
    checks: list[CheckSpec] = Field(min_length=1)

    @property
    def points(self) -> int:
        """Points of all its checks."""
        return sum(check.points for check in self.checks)


class LabSpec(Strict):
    """The whole of `lab.yaml`."""

    schema_: Literal[1] = Field(alias="schema")
    slug: str = Field(pattern=f"^{SLUG.pattern}$")
    title: str
    version: str
    criterion: str
    tasks: list[TaskSpec] = Field(min_length=1)

    @field_validator("tasks")
    @classmethod
    def _stand_on_earlier_ones(cls, tasks: list[TaskSpec]) -> list[TaskSpec]:
        for place, task in enumerate(tasks):
            if later := sorted(set(task.prerequisites) - {one.id for one in tasks[:place]}):
                raise ValueError(f"{task.id} stands on {', '.join(later)}, which is no earlier task")
        return tasks

    @property
    def points(self) -> int:
        """Points of all tasks."""
        return sum(task.points for task in self.tasks)

    @property
    def checks(self) -> list[CheckSpec]:
        """All checks, in the order of the tasks."""
        return [check for task in self.tasks for check in task.checks]

    @property
    def needs(self) -> frozenset[Capability]:
        """What a footprint must be able to do for all tasks to be judged."""
        return frozenset(task.needs for task in self.tasks)

    def task(self, task_id: str) -> TaskSpec:
        """The task called `task_id` (any case).

        Raises:
            BadInputError: the lab has none of that name.
        """
        for task in self.tasks:
            if task.id == task_id.upper():
                return task
        names = ", ".join(task.id for task in self.tasks)
        raise BadInputError(f"The lab {self.slug} has no task {task_id!r}.", hint=f"Its tasks are: {names}.")


def load_lab(course: Path, slug: str) -> LabSpec:
    """The lab `slug` of the course whose root folder is `course`.

    Raises:
        BadInputError: there is no such lab, or its file is not as it must be.
    """
    path = course / "labs" / slug / "lab.yaml"
    if not path.is_file():
        labs = ", ".join(sorted(p.parent.name for p in course.glob("labs/*/lab.yaml"))) or "none here"
        raise BadInputError(
            f"There is no lab {slug!r} below {course}/labs.", hint=f"Labs: {labs}. Run from the course's folder."
        )
    return load_yaml(path, LabSpec)
