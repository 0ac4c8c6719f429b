"""A program in a container: its limits are set and its ports opened before any of it runs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from environments.errors import CageError
from graders.cage import slots
from graders.cage.base import Status
from graders.cage.cgroup import Cgroup, Hierarchy, of_process
from graders.cage.confined import Confined, Program
from graders.cage.docker.container import configuration
from graders.cage.docker.daemon import Daemon, daemon
from graders.cage.docker.image import image
from graders.cage.docker.streams import Streams, hang_up
from graders.cage.inside.first import LENGTHS
from graders.cage.relay import Relay
from graders.cage.watch import Ending

_SEND_SECONDS: Final = 30.0
_HINT: Final = "Look at the daemon's log (journalctl -u docker), then grade again."


@dataclass(frozen=True)
class _Container:
    """A running container, and how to tell its own end from one that it was made to take."""

    engine: Daemon
    name: str
    first: int
    cgroup: Cgroup
    since: float

    def examine(self, ending: Ending) -> None:
        """See `Confined.examine`: only a run that has ended itself, or was killed for want of memory, counts."""
        runs = self.engine.runs(self.name)
        if runs and ending.fell_silent:
            raise CageError("the connection to the cage broke", hint=_HINT)
        if runs or ending.was_counted or not ending.fell_silent:
            return
        if self.engine.ran_out_of_memory(self.name, self.since):
            ending.status, ending.reason = Status.KILLED, "out of memory, all processes"
        else:
            raise CageError("the cage was removed while it was in use", hint=_HINT)

    def is_over(self) -> bool:
        """Whether the first process has closed its last output; see `inside/first.py`."""
        return not os.path.lexists(f"/proc/{self.first}/fd/2")


@contextmanager
def start(where: Hierarchy, slot: slots.Slot, program: Program) -> Iterator[Confined]:
    """Make a container, run a program in it, and remove it (see `Start`).

    Args:
        where: Where to find the container's cgroup.
        slot: Gives its name and its user.
        program: What to run.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(daemon())
        since = time.time()
        name = engine.create(slot.name, configuration(image(engine), slot, program))
        left: list[Cgroup] = []
        stack.callback(_remove, engine, name, left)
        streams = stack.enter_context(Streams(engine.attach(name, "stdout", "stderr")))
        # A connection of its own: the daemon closes both directions of one when the first of its streams ends.
        wire = stack.enter_context(engine.attach(name, "stdin"))
        let_go = partial(hang_up, wire)
        stack.callback(let_go)
        first = engine.start(name)
        left.append(cgroup := of_process(where, first))
        stack.enter_context(Relay(first, program.ports))
        _send(wire, program, slot.uid)
        container = _Container(engine, name, first, cgroup, since)
        sources = replace(streams.sources, is_over=container.is_over, let_go=let_go)
        yield Confined(slot, cgroup, first, sources, container.examine)


def _send(wire: socket.socket, program: Program, uid: int) -> None:
    source, payload = program.source.encode(), program.payload(uid)
    try:
        wire.settimeout(_SEND_SECONDS)
        wire.sendall(LENGTHS.pack(len(source), len(payload)) + source + payload)
    except OSError as error:
        raise CageError(f"the cage took no program: {error}", hint=_HINT) from error


def _remove(engine: Daemon, name: str, left: list[Cgroup]) -> None:
    """Remove a container; if the daemon cannot, its processes are ended without it."""
    try:
        engine.remove(name)
    finally:
        for cgroup in left:
            cgroup.destroy()
