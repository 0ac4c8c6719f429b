"""One child process of a supervisor: started, waited for until healthy, and stopped for certain."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from environments.errors import FootprintError

LEASH = Path(__file__).with_name("leash.py")
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to start. `ready` is asked until it says True; `ready_seconds` and `stop_seconds` bound start and stop."""

    name: str
    argv: Sequence[str]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    ready_seconds: float = 60.0
    stop_seconds: float = 5.0


class Child:
    """A started command. Its output goes to `log`; the kernel kills it when the thread that started it ends.

    Start children from the main thread only: PR_SET_PDEATHSIG follows the parent *thread*, not the process.
    """

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self.log = log
        with log.open("ab") as stream:
            stream.write(f"$ {shlex.join(command.argv)}\n".encode())
            stream.flush()
            self.process = subprocess.Popen(
                leashed(command.argv),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(command.env),
                cwd=command.cwd,
                start_new_session=True,
            )

    @property
    def name(self) -> str:
        """Name of the command."""
        return self.command.name

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def exited(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.process.poll()

    def is_ready(self) -> bool:
        """Ask once whether it is healthy.

        Raises:
            FootprintError: it has exited; the message carries the log's tail.
        """
        if (status := self.exited()) is not None:
            raise FootprintError(
                f"{self.name} exited with status {status} while starting:\n{tail(self.log)}",
                hint=f"The whole log is {self.log}.",
            )
        return self.command.ready()

    def stop(self) -> None:
        """End it: politely first, by SIGKILL to its whole session after `stop_seconds`."""
        if self.exited() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.command.stop_seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


def _nothing_more(_: Child) -> Sequence[Child]:
    return ()


def wait_ready(children: Iterable[Child], on_ready: Callable[[Child], Sequence[Child]] = _nothing_more) -> None:
    """Wait until all `children` are healthy, asking each in turn; those that `on_ready` starts then are waited for too.

    Raises:
        FootprintError: one exited, or was not healthy in its time.
    """
    deadlines = {child: time.monotonic() + child.command.ready_seconds for child in children}
    while deadlines:
        for child in list(deadlines):
            if child.is_ready():
                del deadlines[child]
                deadlines |= {more: time.monotonic() + more.command.ready_seconds for more in on_ready(child)}
            elif time.monotonic() > deadlines[child]:
                raise FootprintError(
                    f"{child.name} was not ready within {child.command.ready_seconds:.0f} s:\n{tail(child.log)}",
                    hint=f"The machine may be overloaded. The whole log is {child.log}.",
                )
        if deadlines:
            time.sleep(POLL_SECONDS)


def leashed(argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` as a process which the kernel kills when this one dies."""
    return [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *argv]


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, indented; long lines are cut."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 16_384))
        text = stream.read().decode(errors="replace")
    return "\n".join(f"  | {line[:300]}" for line in text.splitlines()[-lines:])
