"""`mod209 check LAB --clean`: the learner's notebooks from top to bottom on a fresh footprint, as grading runs them."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from environments.access import read_access
from environments.course import ACCESS_NAME
from environments.errors import BadInputError
from environments.footprint import Progress, temporary
from environments.jupyter.headless import CellError, copied, run_notebooks
from environments.jupyter.workfolder import WorkFolder, read_notebook, source
from environments.lab.api import Lab, open_lab
from environments.lab.report import CheckReport
from environments.params import LearnerParams


@dataclass(frozen=True, kw_only=True)
class Clean:
    """What a run on a fresh footprint came to.

    Attributes:
        reports: the self-check of each task that was asked about.
        errors: cells that ended with an error.
        locked: locked cells that the learner changed; grading puts them back, and so did this run.
        differs: checks that pass on one of the two footprints only, a sentence for each of the two.
    """

    reports: tuple[CheckReport, ...]
    errors: tuple[CellError, ...]
    locked: tuple[str, ...]
    differs: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "checks": [report.as_dict() for report in self.reports],
            "errors": list(map(str, self.errors)),
            "locked": list(self.locked),
            "differs": list(self.differs),
        }

    def lines(self) -> list[str]:
        """What there is to say beside the reports."""
        said = [f"{name} was changed; grading puts it back, and so did this run." for name in self.locked]
        return said + [f"Ended with an error: {error}" for error in self.errors] + list(self.differs)


def run_clean(work: WorkFolder, tasks: list[str], own: Lab | None, progress: Progress) -> Clean:
    """Run all notebooks of the work folder on a temporary footprint, and ask about `tasks` there.

    Args:
        work: the learner's folder; it stays as it is.
        tasks: tasks or checks to ask about.
        own: the lab on the learner's footprint, if one runs: its parameters are used, and its answers compared.
        progress: is told of each step.

    Raises:
        BadInputError: a notebook of the lab is missing.
        FootprintError: the footprint did not start.
    """
    if missing := [name for name in work.notebooks if not (work.path / name).is_file()]:
        raise BadInputError(
            f"{work.path} lacks {', '.join(missing)}.", hint="Grading wants all notebooks. mod209 lab puts them there."
        )
    params = own.access.params if own else None
    reports, errors, locked = _on_fresh_footprint(work, tasks, params, progress)
    differs = _differences(own, reports) if own else ()
    return Clean(reports=reports, errors=errors, locked=locked, differs=differs)


def own_lab(slug: str) -> Lab | None:
    """The lab on the footprint that runs, None if none does."""
    try:
        return open_lab(slug)
    except BadInputError:
        return None


def _on_fresh_footprint(
    work: WorkFolder, tasks: list[str], params: LearnerParams | None, progress: Progress
) -> tuple[tuple[CheckReport, ...], tuple[CellError, ...], tuple[str, ...]]:
    with copied(work) as folder, temporary(work.spec.slug, params, progress) as footprint:
        locked = tuple(change for name in work.notebooks for change in _put_back(folder / name, work.released(name)))
        errors = tuple(run_notebooks(folder, work.notebooks, footprint, work.course, progress))
        with closing(Lab(work.spec.slug, read_access(footprint.directory / ACCESS_NAME), folder)) as lab:
            progress("asking the visible questions")
            return tuple(lab.check(task) for task in tasks), errors, locked


def _put_back(path: Path, released: Path) -> list[str]:
    """Give locked cells the course's text again; returns which ones had another."""
    ours = {name: source(cell) for cell in read_notebook(released)["cells"] if (name := _locked_name(cell))}
    notebook, changed = read_notebook(path), []
    for cell in notebook["cells"]:
        name = _locked_name(cell) or str(cell.get("id"))
        if name in ours and source(cell) != ours[name]:
            cell["source"] = ours[name]
            changed.append(f"{path.name}: locked cell {name}")
    path.write_text(json.dumps(notebook, ensure_ascii=False))
    return changed


def _locked_name(cell: dict[str, object]) -> str:
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return str(about["grade_id"]) if isinstance(about, dict) and about.get("locked") and "grade_id" in about else ""


def _differences(own: Lab, reports: tuple[CheckReport, ...]) -> tuple[str, ...]:
    here = {line.id: line.ok for report in reports for line in own.check(report.task).lines}
    there = {line.id: line.ok for report in reports for line in report.lines}
    lost = [name for name, ok in there.items() if here[name] and not ok]
    won = [name for name, ok in there.items() if ok and not here[name]]
    said = (
        (
            lost,
            "Pass on your footprint only (what makes them pass is in no cell, or in cells that ran in another order):",
        ),
        (won, "Pass on the clean footprint only (run your notebooks from the top to have them on yours):"),
    )
    return tuple(f"{where} {', '.join(names)}" for names, where in said if names)
