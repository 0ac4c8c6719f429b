"""Make the notebooks that learners receive from the source notebooks: `mod209 release`.

nbgrader's own preprocessors take the solutions out and lock the cells; the same source always gives the same bytes.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from environments.errors import BadInputError
from environments.labspec import LabSpec, TaskSpec, load_lab
from graders.intake import lab_notebooks
from graders.notebook import METADATA, NotebookError, parse
from graders.storage import write_whole

# nbgrader and nbformat are imported where they are used: they take two seconds, and every command would wait for them.
if TYPE_CHECKING:
    from nbformat import NotebookNode
    from nbgrader.preprocessors import NbGraderPreprocessor

CODE_STUB: Final = "# Your answer here\nraise NotImplementedError"
TEXT_STUB: Final = "*Your answer here*"


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a release did, or with `check` would have done: names of notebooks."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]

    @property
    def in_step(self) -> bool:
        """Whether the released notebooks were already what the sources make."""
        return not self.written and not self.removed


def release(course: Path, slug: str, *, check: bool = False) -> Release:
    """Make `labs/<slug>/notebooks/` from `solutions/<slug>/notebooks/`; with `check` only compare.

    Raises:
        BadInputError: a source notebook is missing, or its cells are not as the lab's tasks need them.
        StorageError: a notebook cannot be written.
    """
    spec = load_lab(course, slug)
    sources, target = course / "solutions" / slug / "notebooks", course / "labs" / slug / "notebooks"
    made = {name: released(sources / name, spec) for name in lab_notebooks(spec)}
    stale = [path for path in sorted(target.glob("*.ipynb")) if path.name not in made]
    changed = [name for name, data in made.items() if not _holds(target / name, data)]
    if not check:
        for name in changed:
            write_whole(target / name, made[name])
        for path in stale:
            path.unlink()
    return Release(
        written=tuple(changed),
        removed=tuple(path.name for path in stale),
        unchanged=tuple(name for name in made if name not in changed),
    )


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


def release_command(
    lab: Annotated[str, typer.Argument(help="The lab, as its folder below labs/ is called.")],
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if a notebook is out of step.")] = False,
    course: Annotated[Path, typer.Option(help="The course's folder.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Make the learners' notebooks from the source notebooks, without the solutions."""
    done = release(course, lab, check=check)
    if as_json:
        typer.echo(json.dumps({"lab": lab, "in_step": done.in_step} | vars(done)))
    else:
        _print(lab, done, check=check)
    if check and not done.in_step:
        names = ", ".join(done.written + done.removed)
        raise BadInputError(f"Out of step with their sources: {names}.", hint=f"Run: mod209 release {lab}")


def _print(lab: str, done: Release, *, check: bool) -> None:
    console = Console()
    for names, mark, word in (
        (done.written, "[yellow]✎[/]", "differs" if check else "written"),
        (done.removed, "[red]✗[/]", "has no source" if check else "removed, has no source"),
        (done.unchanged, "[green]✓[/]", "in step"),
    ):
        for name in names:
            console.print(f"{mark} labs/{lab}/notebooks/{name}  [dim]{word}[/]", highlight=False)


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _read(source: Path) -> NotebookNode:
    import nbformat

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
    from nbformat import ValidationError

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


def _steps() -> list[NbGraderPreprocessor]:
    from nbgrader import preprocessors as steps

    quiet = logging.getLogger("mod209.release")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False  # what nbgrader logs, the error raised from it says too
    return [
        steps.LockCells(log=quiet),
        steps.ClearSolutions(log=quiet, code_stub={"python": CODE_STUB}, text_stub=TEXT_STUB),
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
    import nbformat

    for number, cell in enumerate(notebook.cells, 1):
        cell.id = _marks(cell).get("grade_id") or f"cell-{number}"
        cell.metadata = {
            key: cell.metadata[key] for key in ("deletable", "editable", "nbgrader") if key in cell.metadata
        }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    return (text.rstrip("\n") + "\n").encode()
