"""The learner's command `mod209 lab LAB`, for the main command line to mount."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from environments import console
from environments.course import course_dir, own_params
from environments.errors import CourseError
from environments.footprint import Footprint, attach, footprint_dir, is_running, start
from environments.jupyter.replay import replay
from environments.jupyter.server import LOOPBACK, jupyterlab, need_jupyterlab
from environments.jupyter.workfolder import WorkFolder
from environments.labspec import load_lab
from environments.params import read_params


def work_folder(lab: str, path: Path | None) -> WorkFolder:
    """The learner's folder of `lab`: `path`, else `work/<lab>` in the course's folder.

    Raises:
        BadInputError: there is no such lab.
    """
    course = course_dir().absolute()
    spec = load_lab(course, lab)
    return WorkFolder(path=(path or course / "work" / lab).absolute(), course=course, spec=spec)


def lab_command(
    lab: Annotated[str, typer.Argument(help="The lab, such as zero-trust.", show_default=False)],
    work: Annotated[Path | None, typer.Option(help="Your folder; work/LAB if not given.")] = None,
    params: Annotated[Path | None, typer.Option(help="Your parameters, as your instructor gave them (JSON).")] = None,
    *,
    replays: Annotated[
        bool | None,
        typer.Option("--replay/--no-replay", help="Run your notebooks again on a new footprint; asks if not given."),
    ] = None,
    address: Annotated[str, typer.Option(help="Where JupyterLab listens; 0.0.0.0 in a container only.")] = LOOPBACK,
    port: Annotated[int, typer.Option(help="Its port; a free one if 0.")] = 0,
) -> None:
    """Start the footprint and JupyterLab with your notebooks, until Ctrl-C."""
    need_jupyterlab()
    folder = work_folder(lab, work)
    new = folder.fill()
    console.out.print(f"Your folder is {folder.path}" + (f"; new in it: {', '.join(new)}" if new else ""))
    with ExitStack() as stack:
        footprint, ours = _footprint(lab, params, stack)
        begun = folder.begun()
        if ours and begun and _wanted(replays, begun):
            _replay(folder, footprint)
        with jupyterlab(folder, address, port) as running:
            console.out.print(f"JupyterLab: {running.url}", soft_wrap=True)
            console.out.print("Ctrl-C stops it" + (" and the footprint." if ours else "; the footprint goes on."))
            try:
                running.wait()
            except KeyboardInterrupt:
                console.out.print("\nStopping.")
    console.out.print("Stopped. Your files stay as they are.")


def _footprint(lab: str, params: Path | None, stack: ExitStack) -> tuple[Footprint, bool]:
    """The lab's footprint, and whether it was started here, to end with this command."""
    if is_running(footprint_dir(lab)):
        console.out.print(f"Using the footprint of {lab} that runs already.")
        return attach(lab), False
    with console.progress(f"Starting {lab}") as progress:
        footprint = start(
            lab, params=read_params(params) if params else own_params(course_dir()), progress=progress, bound=True
        )
    stack.callback(footprint.down)
    return footprint, True


def _wanted(replays: bool | None, begun: list[str]) -> bool:
    if replays is not None or not sys.stdin.isatty():
        return replays is not False
    console.out.print(f"The footprint is new. Your work in {', '.join(begun)} is not on it yet.")
    return typer.confirm("Run these notebooks on it now? Your files stay as they are", default=True)


def _replay(folder: WorkFolder, footprint: Footprint) -> None:
    """Bring the learner's work back; they may interrupt that, and nothing in it stops them from going on."""
    try:
        with console.progress("Bringing your work back (Ctrl-C skips this)") as progress:
            problems = replay(folder, footprint, progress)
    except KeyboardInterrupt:
        problems = ["interrupted; run your notebooks from the top"]
    except CourseError as error:
        problems = [error.message]
    for problem in problems:
        console.err.print(f"  not brought back: {problem}", markup=False)
    if not problems:
        console.out.print("Your work is back on the footprint.")
