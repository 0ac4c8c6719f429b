"""A job's notebooks through a cage, whichever cage, and what may be shown of the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from environments.errors import CageError
from graders.cage.base import Job, Outcome
from graders.cage.confined import Program, Start, confine
from graders.cage.frames import Kind, printable
from graders.cage.staging import staged
from graders.cage.watch import Ending

_INSIDE: Final = Path(__file__).with_name("inside") / "notebooks.py"
_ROOT_HINT: Final = "Run it with sudo or in the project's container: without root, a cage has no user of its own."


def need_root() -> None:
    """Make sure that a cage can have a user of its own.

    Raises:
        CageError: We are not root.
    """
    if os.geteuid() != 0:
        raise CageError("the cage needs root", hint=_ROOT_HINT)


def run_notebooks(start: Start, job: Job, hint: str) -> Outcome:
    """Run a job's notebooks in a cage (see `Cage.run`).

    Args:
        start: How the cage is made.
        job: What to run.
        hint: What to do about a cage that is made, but in which nothing starts.

    Raises:
        CageError: See `Cage.run`.
    """
    archive = staged(job)  # before anything is started: it refuses bad jobs
    if job.course is not None:
        _check_readable(job.course)
    program = Program(
        source=_INSIDE.read_text(encoding="utf-8"),
        payload=lambda _uid: archive,
        limits=job.limits,
        ports=job.ports,
        course=job.course,
    )
    ending = confine(start, program)
    if not ending.began:
        raise CageError(f"the cage did not start: {ending.reason} {ending.tail}", hint=hint)
    return _outcome(ending, job)


def _check_readable(course: Path) -> None:
    # A mount keeps its modes, and a lab that the caged user cannot read would cost the learner points.
    for path in (course, *course.rglob("*")):
        wanted = 0o005 if path.is_dir() else 0o004
        if path.stat().st_mode & wanted != wanted:
            raise CageError(f"the caged user could not read {path}", hint=f"Run: chmod -R a+rX {course}")


def _outcome(ending: Ending, job: Job) -> Outcome:
    notebooks: dict[str, bytes] = {}
    problems = _met_limits(ending)
    for frame in ending.frames:
        if frame.kind is Kind.NOTEBOOK and frame.name in job.notebooks and frame.name not in notebooks:
            notebooks[frame.name] = frame.body
            problems += [f"{printable(frame.name)}: {frame.problem}"] if frame.problem else []
    return Outcome(
        status=ending.status,
        notebooks={name: body for name, body in notebooks.items() if body},
        detail="; ".join(problems + [ending.tail] * bool(ending.reason and ending.tail)),
        seconds=ending.seconds,
        peak_memory_bytes=ending.peak_memory_bytes,
    )


def _met_limits(ending: Ending) -> list[str]:
    said = [ending.reason] if ending.reason else []
    if ending.memory_kills:
        said.append(f"processes killed for want of memory: {ending.memory_kills}")
    if ending.refused_processes:
        said.append(f"processes refused: {ending.refused_processes}")
    return said
