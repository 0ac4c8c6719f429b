"""Make the notebooks that learners receive from the source notebooks: `mod209 release`.

nbgrader's own preprocessors take the solutions out and lock the cells; the same source always gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from environments.errors import BadInputError
from environments.labspec import load_lab
from environments.storage import write_whole
from graders.intake import lab_notebooks


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
    from graders.authoring import released  # noqa: PLC0415  nbgrader takes two seconds to import

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
