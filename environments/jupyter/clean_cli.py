"""What `mod209 check LAB --clean` does on a terminal."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

from environments import console
from environments.jupyter.clean import own_lab, run_clean
from environments.jupyter.cli import work_folder
from environments.jupyter.server import need_jupyterlab
from environments.lab.report import CheckReport
from environments.lab.selfcheck import find_checks


def check_clean(lab: str, task: str | None, work: Path | None) -> tuple[tuple[CheckReport, ...], object, list[str]]:
    """Run it with progress; returns the reports, the document for programs, and what else there is to say.

    Raises:
        BadInputError: there is no such lab, task or check, or a notebook is missing.
        ToolError: what runs notebooks is not installed.
    """
    need_jupyterlab()
    folder = work_folder(lab, work)
    names = [task] if task else [one.id for one in folder.spec.tasks]
    for name in names:
        find_checks(folder.spec, name)  # a typing error must not start twelve servers
    with ExitStack() as stack, console.progress(f"Checking {lab} on a clean footprint") as progress:
        own = own_lab(lab)
        if own:
            stack.enter_context(closing(own))
        result = run_clean(folder, names, own, progress)
    return result.reports, result.as_dict(), result.lines()
