"""Make a learner's notebook of a source notebook, by nbgrader's own steps: solutions out, cells locked, checksums in."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode, ValidationError
from nbgrader import preprocessors as steps

from environments.errors import BadInputError
from environments.handin.notebook import METADATA, NotebookError, parse
from environments.handin.submit import CODE_STUB, TEXT_STUB
from environments.labspec import LabSpec, TaskSpec


def released(source: Path, spec: LabSpec) -> bytes:
    """The bytes of the learner's notebook made from the source notebook at `source`.

    Raises:
        BadInputError: it is missing, no notebook, or nbgrader or the lab's tasks do not agree with its cells.
    """
    notebook = _read(source)
    _process(source, notebook)
    for task in spec.tasks:
        if task.notebook == source.name:
            _check_task(source, notebook, task)
    return _stable(notebook)


def _read(source: Path) -> NotebookNode:
    try:
        data = source.read_bytes()
        parse(data)
    except OSError as error:
        raise BadInputError(f"Cannot read {source}: {error.strerror}.", hint="Restore the source notebook.") from None
    except NotebookError as error:
        raise BadInputError(f"Cannot read {source}: it {error}.", hint="Restore the source notebook.") from None
    notebook: NotebookNode = nbformat.reads(data.decode("utf-8-sig"), as_version=4)
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def _process(source: Path, notebook: NotebookNode) -> None:
    try:
        for step in _steps():
            step.preprocess(notebook, {})
    except (RuntimeError, ValidationError, ValueError, KeyError) as error:
        # nbgrader logs what is wrong with a cell's metadata, and raises a sentence that does not say it.
        problem = error.__context__ if isinstance(error, ValidationError) else None
        raise BadInputError(
            f"nbgrader cannot release {source}: {problem or error}",
            hint="Mend the cell's metadata or its solution marks.",
        ) from None


def _steps() -> list[steps.NbGraderPreprocessor]:
    quiet = logging.getLogger("mod209.release")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False  # what nbgrader logs, the error raised from it says too
    return [
        steps.LockCells(log=quiet),
        steps.ClearSolutions(log=quiet, code_stub={"python": f"# Your answer here\n{CODE_STUB}"}, text_stub=TEXT_STUB),
        steps.ClearOutput(log=quiet),
        steps.CheckCellMetadata(log=quiet),
        steps.ClearHiddenTests(log=quiet),
        steps.ClearMarkScheme(log=quiet),
        steps.ComputeChecksums(log=quiet),
        steps.CheckCellMetadata(log=quiet),
    ]


def _check_task(source: Path, notebook: NotebookNode, task: TaskSpec) -> None:
    cells = {_marks(cell).get("grade_id"): cell for cell in notebook.cells}
    grade = cells.get(task.id)
    wanted = f'lab.check("{task.id}")'
    if grade is None or not _marks(grade).get("grade") or _marks(grade).get("points") != task.points:
        problem = f"needs a locked grade cell with the id {task.id} and {task.points} points"
    elif wanted not in grade.source:
        problem = f"needs {wanted} in its cell {task.id}"
    elif not any(_marks(cell).get("solution") for cell in notebook.cells):
        problem = "has no solution cell"
    else:
        return
    raise BadInputError(f"{source} {problem}.", hint="Mend the source notebook, or lab.yaml if the lab has changed.")


def _marks(cell: NotebookNode) -> dict[str, Any]:
    marks: dict[str, Any] = cell.metadata.get("nbgrader", {})
    return marks


def _stable(notebook: NotebookNode) -> bytes:
    """Bytes without anything random or personal: ids from the cells' places, and metadata of ours only."""
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = _marks(cell).get("grade_id") or f"cell-{number}"
        cell.metadata = {
            key: cell.metadata[key] for key in ("deletable", "editable", "nbgrader") if key in cell.metadata
        }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    return (text.rstrip("\n") + "\n").encode()
