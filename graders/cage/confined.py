"""One process in a cage made by bubblewrap: started, watched until it ends or breaks a limit, and removed."""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from environments.errors import CageError
from graders.cage import interpreter, seccomp, slots
from graders.cage.base import Limits
from graders.cage.cgroup import Cgroup, Hierarchy
from graders.cage.frames import Frame, printable
from graders.cage.relay import Relay
from graders.cage.root import PROGRAM, Root, environment, furnish
from graders.cage.watch import Ending, Sources, watch

_START_SECONDS: Final = 20.0
_CHUNK: Final = 1 << 16
_OPEN_FILES: Final = 1024
_HINT: Final = "Grading needs bubblewrap, cgroups and seccomp: run it as root on Linux, outside of other sandboxes."
# setpriv needs these to become the caged user, and drops them with the rest.
_CAPABILITIES: Final = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
_ISOLATED: Final = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup")


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run in a cage.

    Attributes:
        source: A stand-alone Python script; its arguments are the descriptors of `payload` and of the results pipe.
        payload: Bytes for it, given the caged uid.
        limits: What it may use.
        ports: Granted ports.
        course: A lab's public folder.
        packages: Whether it needs the packages of the virtual environment.
        root_only: Text of a file in the cage that only root may read (for canaries).
    """

    source: str
    payload: Callable[[int], bytes]
    limits: Limits
    ports: Sequence[int] = ()
    course: Path | None = None
    packages: bool = True
    root_only: tuple[Path, str] | None = None


@dataclass(frozen=True)
class Confined:
    """A running cage; `first` is the pid of the first process in its pid namespace, whose end ends them all."""

    slot: slots.Slot
    cgroup: Cgroup
    first: int
    sources: Sources


class _Pipe(NamedTuple):
    reading: FileIO
    writing: FileIO


class _Pipes(NamedTuple):
    results: _Pipe
    printed: _Pipe
    told: _Pipe
    go: _Pipe


def confine(
    bwrap: Path, where: Hierarchy, program: Program, seen: Callable[[Confined, Frame], None] | None = None
) -> Ending:
    """Run a program in a cage of its own and wait for its end; nothing of it is left afterwards.

    Args:
        bwrap: The bubblewrap program.
        where: Where to make the cgroup.
        program: What to run.
        seen: Called with each frame while the cage is still there.

    Raises:
        CageError: The cage could not be made, or could not be removed.
    """
    started = time.monotonic()
    with slots.reserved() as slot, ExitStack() as stack:
        cgroup = where.create(slot.name, program.limits)
        stack.callback(cgroup.destroy)
        confined = stack.enter_context(_started(bwrap, slot, cgroup, program))
        tell = partial(seen, confined) if seen else None
        ending = watch(confined.sources, cgroup, program.limits, started, tell)
    ending.seconds = time.monotonic() - started
    return ending


@contextmanager
def _started(bwrap: Path, slot: slots.Slot, cgroup: Cgroup, program: Program) -> Iterator[Confined]:
    with ExitStack() as files:
        pipes = _Pipes(*(_pipe(files) for _ in range(4)))
        try:
            _spawn(files, pipes, bwrap, slot.uid, program)
            first = _first_pid(pipes.told.reading)
            handle = os.pidfd_open(first)
            files.callback(os.close, handle)
            files.callback(_kill, handle)
            cgroup.add(first)
            _limit(first, program.limits)
            files.enter_context(Relay(first, program.ports))
        except OSError as error:
            raise CageError(f"bubblewrap did not start: {_complaint(pipes) or error}", hint=_HINT) from error
        pipes.go.writing.write(b"x")
        sources = Sources(pipes.results.reading.fileno(), pipes.printed.reading.fileno(), handle)
        yield Confined(slot, cgroup, first, sources)


def _spawn(files: ExitStack, pipes: _Pipes, bwrap: Path, uid: int, program: Program) -> None:
    """Start bwrap, which makes its namespaces, tells of them, and waits for us to go on."""
    python = interpreter.current()
    with ExitStack() as memory:
        root = Root(memory)
        furnish(root, python, program.limits, uid, program.source, program.course)
        if program.root_only:
            root.text(*program.root_only, mode="0600")
        root.close()
        told, go, results = pipes.told.writing, pipes.go.reading, pipes.results.writing
        root.add("--seccomp", root.memory(seccomp.program()), "--info-fd", told.fileno(), "--block-fd", go.fileno())
        # By descriptor, because the cage can read the command line of its first process, and need not know our paths.
        options = root.memory("\0".join([*_options(), *root.arguments, ""]).encode())
        payload = root.memory(program.payload(uid))
        flags = () if program.packages else ("-S",)
        command = [python.python, "-I", *flags, PROGRAM, payload, results.fileno()]
        process = subprocess.Popen(
            [str(word) for word in (bwrap, "--args", options, *_as_user(uid), *command)],
            stdin=subprocess.DEVNULL,
            stdout=pipes.printed.writing,
            stderr=subprocess.STDOUT,
            env=environment(python),
            cwd="/",
            pass_fds=(*root.descriptors, results.fileno(), told.fileno(), go.fileno()),
        )
    files.callback(_reap, process)
    for far in (results, pipes.printed.writing, told, go):
        far.close()


def _options() -> list[str]:
    kept = [word for capability in _CAPABILITIES for word in ("--cap-add", capability)]
    return [*_ISOLATED, "--hostname", "cage", "--die-with-parent", "--new-session", "--cap-drop", "ALL", *kept]


def _as_user(uid: int) -> list[str]:
    user = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
    return ["/usr/bin/setpriv", *user, "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]


def _pipe(files: ExitStack) -> _Pipe:
    reading, writing = os.pipe()
    return _Pipe(files.enter_context(FileIO(reading, "r")), files.enter_context(FileIO(writing, "w")))


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
    seconds = int(limits.cpu_seconds) + 1
    for kind, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.prlimit(pid, kind, (value, value))
