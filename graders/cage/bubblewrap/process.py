"""A program under bwrap: its namespaces are made, its limits set and its ports opened before any of it runs."""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from environments.errors import CageError
from graders.cage import interpreter, seccomp, slots
from graders.cage.base import Limits
from graders.cage.bubblewrap.arguments import PROGRAM, Arguments
from graders.cage.cgroup import Hierarchy
from graders.cage.confined import Confined, Program, Start, rlimits
from graders.cage.frames import printable
from graders.cage.relay import Relay
from graders.cage.root import environment, layout
from graders.cage.watch import Sources

_START_SECONDS: Final = 20.0
_CHUNK: Final = 1 << 16
_HINT: Final = "Grading needs bubblewrap, cgroups and seccomp: run it as root on Linux, outside of other sandboxes."
# setpriv needs these to become the caged user, and drops them with the rest.
_CAPABILITIES: Final = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
_ISOLATED: Final = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup")


class _Pipe(NamedTuple):
    reading: FileIO
    writing: FileIO


class _Pipes(NamedTuple):
    results: _Pipe
    printed: _Pipe
    told: _Pipe
    go: _Pipe


def starter(bwrap: Path, where: Hierarchy) -> Start:
    """How a cage is made.

    Args:
        bwrap: The bubblewrap program.
        where: Where to make its cgroup.
    """

    @contextmanager
    def start(slot: slots.Slot, program: Program) -> Iterator[Confined]:
        with ExitStack() as stack:
            cgroup = where.create(slot.name, program.limits)
            stack.callback(cgroup.destroy)
            pipes = _Pipes(*(_pipe(stack) for _ in range(4)))
            try:
                _spawn(stack, pipes, bwrap, slot.uid, program)
                first = _first_pid(pipes.told.reading)
                handle = os.pidfd_open(first)
                stack.callback(os.close, handle)
                stack.callback(_kill, handle)
                cgroup.add(first)
                _limit(first, program.limits)
                stack.enter_context(Relay(first, program.ports))
            except OSError as error:
                raise CageError(f"bubblewrap did not start: {_complaint(pipes) or error}", hint=_HINT) from error
            pipes.go.writing.write(b"x")
            sources = Sources(pipes.results.reading.fileno(), pipes.printed.reading.fileno(), handle)
            yield Confined(slot, cgroup, first, sources)

    return start


def _spawn(stack: ExitStack, pipes: _Pipes, bwrap: Path, uid: int, program: Program) -> None:
    """Start bwrap, which makes its namespaces, tells of them, and waits for us to go on."""
    python = interpreter.current()
    with ExitStack() as memory:
        told, go, results = pipes.told.writing, pipes.go.reading, pipes.results.writing
        made = Arguments(memory)
        made.add(*_options())
        made.root(layout(python, program.limits, (uid,), program.course), program.source)
        made.add("--seccomp", made.memory(seccomp.program()), "--info-fd", told.fileno(), "--block-fd", go.fileno())
        # By descriptor, because the cage can read the command line of its first process, and need not know our paths.
        options = made.memory("\0".join([*made.words, ""]).encode())
        payload = made.memory(program.payload(uid))
        command = [python.python, *program.flags, PROGRAM, payload, results.fileno()]
        process = subprocess.Popen(
            [str(word) for word in (bwrap, "--args", options, *_as_user(uid), *command)],
            stdin=subprocess.DEVNULL,
            stdout=pipes.printed.writing,
            stderr=subprocess.STDOUT,
            env=environment(python),
            cwd="/",
            pass_fds=(*made.descriptors, results.fileno(), told.fileno(), go.fileno()),
        )
    stack.callback(_reap, process)
    for far in (results, pipes.printed.writing, told, go):
        far.close()


def _options() -> list[str]:
    kept = [word for capability in _CAPABILITIES for word in ("--cap-add", capability)]
    return [*_ISOLATED, "--hostname", "cage", "--die-with-parent", "--new-session", "--cap-drop", "ALL", *kept]


def _as_user(uid: int) -> list[str]:
    user = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
    return ["/usr/bin/setpriv", *user, "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]


def _pipe(stack: ExitStack) -> _Pipe:
    reading, writing = os.pipe()
    return _Pipe(stack.enter_context(FileIO(reading, "r")), stack.enter_context(FileIO(writing, "w")))


def _kill(handle: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _first_pid(told: FileIO) -> int:
    """The pid that bwrap tells once its namespaces are there; until it is let go on, nothing of the program runs."""
    text = b""
    deadline = time.monotonic() + _START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(told, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())) and (chunk := told.read(_CHUNK)):
            text += chunk
            with suppress(ValueError):
                return int(json.loads(text)["child-pid"])
    raise ProcessLookupError("it told no process id")


def _complaint(pipes: _Pipes) -> str:
    """What bwrap said; it has ended, or is about to."""
    said = pipes.printed.reading
    with selectors.DefaultSelector() as selector:
        selector.register(said, selectors.EVENT_READ)
        text = (said.read(_CHUNK) or b"") if selector.select(1) else b""
    return printable(text.decode("utf-8", "replace"))


def _limit(pid: int, limits: Limits) -> None:
    for name, value in rlimits(limits).items():
        resource.prlimit(pid, getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
