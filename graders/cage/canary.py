"""Proves a cage before a batch: a hostile program runs in a real one, and everything that it tries must be stopped."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import environments
from environments.errors import CageError
from environments.scratch import scratch
from graders.cage import interpreter, seccomp
from graders.cage.base import MIB, Limits, Status
from graders.cage.confined import Confined, Program, Start, confine
from graders.cage.frames import Frame, Kind
from graders.cage.root import COURSE, ROOT_ONLY, environment
from graders.cage.watch import Ending

_INSIDE: Final = Path(__file__).with_name("inside") / "canary.py"
_LIMITS: Final = Limits(
    memory_bytes=64 * MIB, processes=16, cpu_seconds=20, wall_seconds=20, output_bytes=2 * MIB, file_bytes=8 * MIB
)
_HINT: Final = "Nothing is graded until the cage holds: run it as root on Linux, outside of other sandboxes."

# What the program inside must report, each as stopped.
ATTEMPTS: Final = frozenset(
    {
        "granted port",
        "port that is not granted",
        "external address",
        "abstract socket of the host",
        "vsock",
        "root's file",
        "hidden paths",
        "files outside the work folder",
        "file size",
        "what notebooks need",
        "environment variables of the host",
        "user",
        "capabilities",
        "new privileges",
        "system-call filter",
        "user namespaces",
        "signals to others",
        "memory of others",
        "processes of others",
        "process limit",
        "memory limit",
    }
)


@dataclass
class _Seen:
    """What the outside saw of the running canary."""

    report: dict[str, Any] = field(default_factory=dict)
    user: bool = False

    def take(self, confined: Confined, frame: Frame) -> None:
        if frame.kind is Kind.READY and not self.report:
            self.user = _is_own_user(confined)
            self.report = _parsed(frame.body)


def prove(start: Start) -> None:
    """Run the canary.

    Args:
        start: How the cage is made.

    Raises:
        CageError: Something got through, or could not be tried; the message names it.
    """
    seen = _Seen()
    with scratch("canary") as folder, _servers() as targets:
        secret = folder / "secret"
        secret.write_text("not for learners")
        program = Program(
            source=_INSIDE.read_text(encoding="utf-8"),
            payload=lambda uid: json.dumps(targets | _expectations(uid, secret)).encode(),
            limits=_LIMITS,
            ports=(targets["granted"],),
            packages=False,
        )
        ending = confine(start, program, seen.take)
    if failed := _failed(seen, ending):
        problem = "" if seen.report else f" ({ending.reason} {ending.tail})"
        raise CageError(f"the cage does not hold: {', '.join(failed)}{problem}", hint=_HINT)


def _failed(seen: _Seen, ending: Ending) -> list[str]:
    failed = [name for name in sorted(ATTEMPTS) if seen.report.get(name) is not True]
    if not seen.user:
        failed.append("user as the host sees it")
    if ending.status is not Status.OUTPUT_LIMIT:
        failed.append("output limit")
    return failed


def _expectations(uid: int, secret: Path) -> dict[str, Any]:
    python = interpreter.current()
    here = Path(__file__).resolve()
    inside = [place / name for place in (COURSE, python.packages_inside) for name in interpreter.PRIVATE_PACKAGES]
    package = Path(environments.__file__).parent.name
    return {
        "uid": uid,
        "root_only": str(ROOT_ONLY),
        "hidden": [str(path) for path in (secret, here, here.parents[1], Path("/root"), Path("/etc/shadow"), *inside)],
        "needed": [str(python.packages_inside / "nbclient/__init__.py"), str(COURSE / package / "__init__.py")],
        "variables": [*environment(python), "PWD", "LC_CTYPE"],
        "refused": seccomp.denied(),
        "processes": _LIMITS.processes,
        "memory_bytes": _LIMITS.memory_bytes,
    }


def _is_own_user(confined: Confined) -> bool:
    """Whether every process but the first, which may be bwrap's own, has the cage's uid and gid in the host's eyes."""
    own = {str(confined.slot.uid)}
    pids = confined.cgroup.pids() - {confined.first}
    return bool(pids) and all(_identities(pid) == own for pid in pids)


def _identities(pid: int) -> set[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {value for line in lines if line.startswith(("Uid:", "Gid:")) for value in line.split()[1:]}


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


@contextmanager
def _servers() -> Iterator[dict[str, Any]]:
    """Servers on the host that greet everyone: a granted port, one that is not, and an abstract unix socket."""
    greeting, abstract = secrets.token_hex(8), f"mod209-canary-{os.getpid()}-{secrets.token_hex(4)}"
    with (
        socket.create_server(("127.0.0.1", 0)) as granted,
        socket.create_server(("127.0.0.1", 0)) as denied,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind("\0" + abstract)
        unix.listen()
        threading.Thread(target=_greet, args=(granted, greeting.encode()), daemon=True).start()
        yield {
            "granted": granted.getsockname()[1],
            "denied": denied.getsockname()[1],
            "abstract": abstract,
            "greeting": greeting,
        }
        granted.shutdown(socket.SHUT_RDWR)


def _greet(server: socket.socket, greeting: bytes) -> None:
    try:
        while True:
            with server.accept()[0] as client:
                client.sendall(greeting)
    except OSError:
        return
