"""Canaries around a batch: whatever a case reaches, reads, writes or leaves behind outside of its cage moves one."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

MARK: Final = "mod209-canary-"
# Where a case that got out would write, for all that it knows.
PLACES: Final = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/root", "/home", "/opt", "/etc")


@dataclass
class Canaries:
    """Listeners that count who comes, secrets that must not be read, and names that must not turn up.

    Attributes:
        secret: Stands in the term key, in a file, in the grader's environment and memory. Cases know how it begins.
        written: Name of files that cases try to write outside.
        process: Stands in the command line of processes that cases leave behind.
    """

    folder: Path
    secret: str = field(default_factory=lambda: f"{MARK}{secrets.token_hex(16)}")
    written: str = field(default_factory=lambda: f"mod209-written-{secrets.token_hex(8)}")
    process: str = field(default_factory=lambda: f"mod209-left-{secrets.token_hex(8)}")
    tcp: int = 0
    udp: int = 0
    visits: list[str] = field(default_factory=list)

    @property
    def abstract(self) -> str:
        """Name of a listening socket in the host's abstract namespace."""
        return f"\0{self.process}"

    def targets(self) -> dict[str, Any]:
        """What an attacker is told: more than a real one would ever guess."""
        return {
            "tcp": self.tcp,
            "udp": self.udp,
            "abstract": self.abstract[1:],
            "socket": str(self.folder / "s"),
            "secret_file": str(self.folder / "secret.txt"),
            "batch": str(self.folder),
            "mark": MARK,
            "written": self.written,
            "process": self.process,
            "places": list(PLACES),
        }

    def files_outside(self) -> list[str]:
        """Files of the agreed name in places of the host that a case must not reach."""
        return [f"{place}/{self.written}" for place in PLACES if os.path.lexists(f"{place}/{self.written}")]

    def processes(self) -> list[str]:
        """Command lines of what cases left running."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if self.process.encode() in (line := path.read_bytes()):
                    found.append(line.replace(b"\0", b" ").decode(errors="replace"))
        return found


@contextmanager
def watching(folder: Path) -> Iterator[Canaries]:
    """Set the canaries up around `folder`, which holds the batch, and keep them for as long as the context lasts."""
    canaries = Canaries(folder)
    (folder / "secret.txt").write_text(canaries.secret)
    with ExitStack() as stack:
        canaries.tcp = _listen(stack, canaries, "tcp", socket.AF_INET, ("127.0.0.1", 0))[1]
        canaries.udp = _listen(stack, canaries, "udp", socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)[1]
        _listen(stack, canaries, "abstract socket", socket.AF_UNIX, canaries.abstract)
        _listen(stack, canaries, "unix socket", socket.AF_UNIX, str(folder / "s"))
        stack.enter_context(mock.patch.dict(os.environ, {"MOD209_TEST_CANARY": canaries.secret}))
        yield canaries


def _listen(
    stack: ExitStack, canaries: Canaries, name: str, family: int, address: Any, kind: int = socket.SOCK_STREAM
) -> Any:
    server = stack.enter_context(socket.socket(family, kind))
    server.bind(address)
    server.settimeout(0.2)
    if kind == socket.SOCK_STREAM:
        server.listen()
    ended = threading.Event()
    thread = threading.Thread(target=_count, args=(server, ended, canaries, name))
    thread.start()
    stack.callback(thread.join)
    stack.callback(ended.set)
    return server.getsockname()


def _count(server: socket.socket, ended: threading.Event, canaries: Canaries, name: str) -> None:
    while not ended.is_set():
        with suppress(TimeoutError):
            if server.type == socket.SOCK_STREAM:
                server.accept()[0].close()
            else:
                server.recv(1)
            canaries.visits.append(name)
