"""The supervisor: one process that owns every server of a footprint, and does what its clients ask.

Run as `python -m environments.supervisor.server DIRECTORY`, with the plan as one JSON line on standard input. Events go to
standard output, one JSON line each, until it is ready. Everything happens in the main thread, one request after another:
children die with the thread that started them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from environments.access import UNASKED
from environments.cleanroom.footprint import ServedFootprint
from environments.errors import CourseError, FootprintError, StorageError
from environments.labspec import Capability
from environments.params import LearnerParams
from environments.supervisor import protocol
from environments.yamlfile import Strict

LOCK = "lock"
CLIENT_SECONDS = 5.0
IDLE_SECONDS = 0.5


class Plan(Strict):
    """What to start. A `bound` supervisor ends when its standard input does, that is, with its owner."""

    provider: str
    lab: str
    params: LearnerParams
    binaries: dict[str, Path]
    bound: bool
    own: dict[str, Any] = Field(default_factory=dict, description="what the provider alone knows to read")
    without: dict[Capability, str] = Field(default_factory=lambda: dict(UNASKED), description="see `Access.without`")
    held: bool = Field(
        default=False, description="whether no pod runs that anybody asks for; on local none does anyway"
    )


class StopRequest(BaseException):
    """Somebody asked the supervisor to end. No error, so that no handler of errors swallows it."""


class Server:
    """Answers requests about one footprint."""

    def __init__(self, footprint: ServedFootprint, bound: bool) -> None:
        self.footprint = footprint
        self._owner = [sys.stdin.fileno()] if bound else []

    def run(self, on_listening: Callable[[], None]) -> None:
        """Serve until told to stop."""
        with protocol.listen(self.footprint.directory) as listener:
            on_listening()
            while True:
                ready, _, _ = select.select([listener, *self._owner], [], [], IDLE_SECONDS)
                if listener in ready:
                    self._serve(listener)
                elif ready and not os.read(self._owner[0], 1):
                    raise StopRequest

    def _serve(self, listener: socket.socket) -> None:
        link, _ = listener.accept()
        with link, contextlib.suppress(OSError, ValueError):  # a client that went away is no concern of ours
            link.settimeout(CLIENT_SECONDS)
            message = protocol.receive(link)
            try:
                answer = {"result": self._perform(message["operation"], message["arguments"])}
            except CourseError as error:
                answer = protocol.failure(error)
            except StopRequest:
                self.footprint.stop()
                protocol.send(link, {"result": {"stopped": True}})
                raise
            except Exception as error:  # noqa: BLE001 - whatever goes wrong, the footprint's servers must go on
                answer = protocol.failure(
                    FootprintError(f"{type(error).__name__}: {error}", hint="Run: mod209 down, mod209 up.")
                )
            protocol.send(link, answer)

    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        match operation:
            case "status":
                return self.footprint.status()
            case "access":
                return self.footprint.access(arguments["role"], arguments["needs"]).model_dump()
            case "reset":
                params = arguments["params"]
                return self.footprint.reset(arguments["only"], LearnerParams.model_validate(params) if params else None)
            case "settle":
                return self.footprint.settle()
            case "down":
                raise StopRequest
        raise FootprintError(
            f"The supervisor cannot {operation!r}.", hint="Client and supervisor are of different versions."
        )


def main(directory: Path) -> int:
    """Own the footprint in `directory` until it is stopped; returns an exit status."""
    os.umask(0o077)
    plan = Plan.model_validate_json(sys.stdin.readline())
    lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _hold(lock)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    footprint = None
    try:
        footprint = _provided(plan, directory)
        footprint.without = plan.without
        began = time.monotonic()
        footprint.start(lambda text: _emit(event=text))
        seconds = time.monotonic() - began
        Server(footprint, plan.bound).run(lambda: _emit(ready={"seconds": seconds}))
    except (StopRequest, BrokenPipeError):  # a broken pipe: whoever wanted the footprint is gone
        return 0
    except (CourseError, OSError) as error:
        known = error if isinstance(error, CourseError) else _storage(error, directory)
        _emit(**protocol.failure(known))
        return known.exit_code
    finally:
        if footprint:
            footprint.stop()
        (directory / protocol.CONTROL).unlink(missing_ok=True)
    return 0


def _storage(error: OSError, directory: Path) -> StorageError:
    """A full disk, told on the pipe: it may be the one that our log is on.

    Raises:
        OSError: it is something else.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    return StorageError(f"The disk below {directory} is full.", hint="Free some space, or move MOD209_STATE.")


def _provided(plan: Plan, directory: Path) -> ServedFootprint:
    """The footprint of the plan's provider; only that one's code is loaded."""
    if plan.provider == "kind":
        from environments.kind.footprint import KindFootprint  # noqa: PLC0415
        from environments.kind.prepared import Prepared  # noqa: PLC0415

        own = Prepared.model_validate(plan.own)
        return KindFootprint(directory, plan.lab, plan.params, plan.binaries, own, held=plan.held)
    from environments.local.footprint import LocalFootprint  # noqa: PLC0415

    return LocalFootprint(directory, plan.lab, plan.params, plan.binaries)


def _hold(lock: int, seconds: float = 2.0) -> None:
    """Take the lock; somebody who only looks whether we run may have it for a moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _emit(**message: Any) -> None:
    sys.stdout.write(f"{json.dumps(message)}\n")  # whole: clouds become ready in threads, and print() ends lines apart
    sys.stdout.flush()


def _stop(*_: object) -> None:
    raise StopRequest


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
