"""A learner's notebooks run without anybody watching: in a copy of their folder, against a footprint that is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments.access import ACCESS_VARIABLE, NO_SELF_CHECK_VARIABLE
from environments.course import ACCESS_NAME, COURSE_VARIABLE
from environments.errors import FootprintError
from environments.footprint import Footprint, Progress
from environments.jupyter.minded import minded
from environments.jupyter.workfolder import WorkFolder, read_notebook
from environments.lab.apply import FOLDERS
from environments.scratch import scratch

CELL_SECONDS = 120  # as much as a cell gets when it is graded
SHOWN = 160


@dataclass(frozen=True, kw_only=True)
class CellError:
    """A cell that ended with an error, or a notebook that could not be run to its end (`cell` is empty then)."""

    notebook: str
    cell: str
    error: str

    def __str__(self) -> str:
        where = f"{self.notebook}, cell {self.cell}" if self.cell else self.notebook
        return f"{where}: {self.error}"


@contextmanager
def copied(work: WorkFolder) -> Iterator[Path]:
    """A copy of what is handed in, so that running it changes none of the learner's files."""
    with scratch("notebooks") as folder:
        for path in handed_in(work):
            target = folder / path.relative_to(work.path)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
        yield folder


def handed_in(work: WorkFolder) -> list[Path]:
    """The files of the work folder that a submission consists of."""
    artifacts = [
        path
        for folder, suffixes in FOLDERS.items()
        for path in sorted((work.path / folder).glob("*"))
        if path.suffix in suffixes and path.is_file()
    ]
    return [work.path / name for name in work.notebooks if (work.path / name).is_file()] + artifacts


def run_notebooks(
    folder: Path, names: Sequence[str], footprint: Footprint, course: Path, progress: Progress
) -> list[CellError]:
    """Run the notebooks `names` of `folder` from top to bottom; returns which cells ended with an error.

    Raises:
        FootprintError: nothing could be run at all.
    """
    argv = [sys.executable, "-P", "-m", "environments.jupyter.runner", str(CELL_SECONDS), *names]
    env = os.environ | {
        ACCESS_VARIABLE: str(footprint.directory / ACCESS_NAME),
        COURSE_VARIABLE: str(course),
        NO_SELF_CHECK_VARIABLE: "1",  # asked afterwards, once
    }
    problems: list[CellError] = []
    with (
        (folder / "run.log").open("w+b") as log,
        minded(argv, env=env, cwd=folder, errors=log, output=subprocess.PIPE) as runner,
    ):
        for line in runner.stdout or ():
            _hear(json.loads(line), problems, progress)
        if runner.wait() != 0:
            log.seek(0)
            reason = log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise FootprintError(f"The notebooks could not be run: {' '.join(reason)}", hint="Install it anew.")
    return problems + [problem for name in names for problem in _errors(folder / name)]


def _hear(news: dict[str, Any], problems: list[CellError], progress: Progress) -> None:
    if "problem" in news:
        problems.append(CellError(notebook=news["notebook"], cell="", error=news["problem"]))
    else:
        progress(f"{news['notebook']}, cell {news['cell']} of {news['of']}")


def _errors(path: Path) -> Iterator[CellError]:
    for number, cell in enumerate(read_notebook(path)["cells"], 1):
        for output in cell.get("outputs", ()):
            if output.get("output_type") == "error":
                text = f"{output.get('ename')}: {output.get('evalue')}"
                yield CellError(notebook=path.name, cell=cell.get("id") or str(number), error=text[:SHOWN])
