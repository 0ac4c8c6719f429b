"""Variants that share a submission: one of each task, so that the whole matrix takes a few dozen gradings.

Who shares one changes other notebooks, and names checks of other tasks, than its company. So the company's failed checks
are told apart; and if together they are not as they name, `graders.verify` grades each of them again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from environments.labspec import LabSpec
from graders.variants import Variant

Company = tuple[Variant, ...]


@dataclass(kw_only=True)
class _Group:
    kind: str
    members: list[Variant] = field(default_factory=list)
    tasks: set[str] = field(default_factory=set)


def alone(variants: Iterable[Variant]) -> list[Company]:
    """Each variant by itself."""
    return [(variant,) for variant in variants]


def companies(spec: LabSpec, variants: Iterable[Variant]) -> list[Company]:
    """The variants in as few submissions as their tasks allow, in their order; the reference stays by itself."""
    groups: list[_Group] = []
    for variant in variants:
        tasks = _tasks(spec, variant)
        fits = (group for group in groups if tasks and group.kind == variant.kind and not group.tasks & tasks)
        group = next(fits, None)
        if group is None:
            group = _Group(kind=variant.kind if tasks else variant.name)
            groups.append(group)
        group.members.append(variant)
        group.tasks |= tasks
    return [tuple(group.members) for group in groups]


def _tasks(spec: LabSpec, variant: Variant) -> set[str]:
    """Tasks whose notebook it changes, or of which it names a check; empty for the reference."""
    if not variant.file:
        return set()
    by_notebook = {task.notebook: task.id for task in spec.tasks}
    by_check = {check.id: task.id for task in spec.tasks for check in task.checks}
    cells = [*variant.file.cells, *(edit.cell for edit in variant.file.edits)]
    named = {by_check[check] for check in variant.expected}
    # A cell's id begins with its task's: `zt-3-apply`.
    changed = {task.id for task in spec.tasks for cell in cells if cell.startswith(f"{task.id.lower()}-")}
    return named | changed | {by_notebook[edit.notebook] for edit in variant.file.edits}
