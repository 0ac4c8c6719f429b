"""The cage made by Docker: a container with a user of its own, no network but the granted ports, and nothing to keep."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Final

from graders.cage import canary
from graders.cage.base import Job, Outcome
from graders.cage.cgroup import Hierarchy, hierarchy
from graders.cage.confined import Start
from graders.cage.docker.daemon import daemon
from graders.cage.docker.process import start
from graders.cage.notebooks import need_root, run_notebooks

_START_HINT: Final = "The last words of the container say why; see also the daemon's log."


class DockerCage:
    """Runs jobs in containers of this machine's Docker daemon."""

    name = "docker"

    def prove(self) -> None:
        """Try to get out of a real cage, and past its limits (see `Cage.prove`)."""
        need_root()
        with daemon() as engine:
            engine.judge()
            engine.sweep()
        canary.prove(self.start)

    def run(self, job: Job) -> Outcome:
        """Run a job's notebooks (see `Cage.run`)."""
        need_root()
        return run_notebooks(self.start, job, _START_HINT)

    @property
    def start(self) -> Start:
        """How one cage is made."""
        return partial(start, self._hierarchy)

    @cached_property
    def _hierarchy(self) -> Hierarchy:
        return hierarchy()
