"""Runs in the cage, alone: try to get out, past the limits, and at what must be hidden; report what was stopped.

A name maps to True where the cage held, and the outside compares the names with its own list: a canary that does not
run counts as one that got through.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
AF_VSOCK = 40
TEST_NET = "192.0.2.1"  # reserved for documentation: never a machine


def refused(attempt: Callable[[], object], *errors: int) -> bool:
    """Whether an attempt fails with one of these errors (any, if none is given)."""
    try:
        attempt()
    except OSError as error:
        return not errors or error.errno in errors
    return False


def connect(family: int, address: Any, timeout: float = 2.0) -> bytes:
    """What a server says first."""
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(timeout)
        client.connect(address)
        return client.recv(64)


def network(job: dict[str, Any]) -> dict[str, bool]:
    """Only the granted port of the host's loopback answers."""
    inet, loopback = socket.AF_INET, "127.0.0.1"
    return {
        "granted port": connect(inet, (loopback, job["granted"])) == job["greeting"].encode(),
        "port that is not granted": refused(lambda: connect(inet, (loopback, job["denied"])), errno.ECONNREFUSED),
        "external address": refused(lambda: connect(inet, (TEST_NET, 9)), errno.ENETUNREACH),
        "abstract socket of the host": refused(lambda: connect(socket.AF_UNIX, "\0" + job["abstract"])),
        "vsock": refused(lambda: socket.socket(AF_VSOCK, socket.SOCK_STREAM), errno.EAFNOSUPPORT),
    }


def files(job: dict[str, Any]) -> dict[str, bool]:
    """The host's files are absent, root's are unreadable, the rest is read-only, and what a notebook needs is there."""
    places = (
        "/",
        "/usr",
        "/opt",
        "/opt/course",
        "/opt/course/environments",
        "/etc",
        "/dev",
        "/run",
        "/var",
        "/proc",
        "/sys",
    )
    return {
        "root's file": refused(Path(job["root_only"]).read_bytes, errno.EACCES),
        "hidden paths": not any(_shown(Path(path)) for path in job["hidden"]),
        "files outside the work folder": all(
            refused(partial(Path(place, "canary").write_bytes, b"x")) for place in places
        ),
        "file size": refused(lambda: fill(Path("/home/canary")), errno.EFBIG, errno.ENOSPC),
        "what notebooks need": all(os.access(path, os.R_OK) for path in job["needed"]),
        "environment variables of the host": set(os.environ) <= set(job["variables"]),
    }


def _shown(path: Path) -> bool:
    try:
        return path.is_file() or (path.is_dir() and any(path.iterdir()))
    except PermissionError:
        return False


def fill(path: Path) -> None:
    """Write until the disk is full, and clear up."""
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
    finally:
        path.unlink()


def identity(job: dict[str, Any]) -> dict[str, bool]:
    """A real user without capabilities, alone with its own processes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    libc = ctypes.CDLL(None, use_errno=True)
    mine = {job["uid"]}
    return {
        "user": {*os.getresuid(), *os.getresgid(), *os.getgroups()} <= mine,
        "capabilities": all(int(value, 16) == 0 for key, value in status.items() if key.startswith("Cap")),
        "new privileges": status["NoNewPrivs"] == "1",
        "system-call filter": status["Seccomp"] == "2" and all(is_refused(libc, number) for number in job["refused"]),
        "user namespaces": libc.unshare(CLONE_NEWUSER) != 0 and libc.syscall(_KEYCTL, 0, -3, 1) < 0,
        "signals to others": survives(1),
        "memory of others": all(
            refused(partial(os.listdir, f"/proc/1/{part}"), errno.EACCES) for part in ("fd", "map_files")
        )
        and refused(lambda: Path("/proc/1/mem").open("rb"), errno.EACCES),
        "processes of others": {path.name for path in Path("/proc").glob("[0-9]*")} <= {"1", str(os.getpid())},
    }


def is_refused(libc: ctypes.CDLL, number: int) -> bool:
    """Whether a system call is refused; a kernel may also not have it."""
    return libc.syscall(number, -1, -1, -1, -1, -1, -1) == -1 and ctypes.get_errno() in {errno.EPERM, errno.ENOSYS}


def survives(pid: int) -> bool:
    """Whether a process is there after a signal to end it; the kernel hides signals from the first one of a namespace."""
    with suppress(PermissionError):
        os.kill(pid, signal.SIGKILL)
    return Path(f"/proc/{pid}").exists()


_KEYCTL = {"x86_64": 250, "aarch64": 219}[os.uname().machine]


def limits(job: dict[str, Any]) -> dict[str, bool]:
    """Forks are refused, and a process that takes too much memory dies."""
    return {"process limit": forks_end(job["processes"]), "memory limit": hog_dies(job["memory_bytes"])}


def forks_end(limit: int) -> bool:
    """Whether a fork is refused before the limit is passed."""
    children: list[int] = []
    try:
        while len(children) <= limit:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except BlockingIOError:
        return True
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return False


def hog_dies(limit: int) -> bool:
    """Whether a child that takes twice the memory is killed."""
    child = os.fork()
    if child == 0:
        hoard = b"x" * (2 * limit)
        os._exit(len(hoard) & 1)
    return os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def main() -> None:
    """Report, stay alive until the outside has looked at this process, and then print without end."""
    payload, results = int(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(payload) as stream:
        job = json.load(stream)
    held: dict[str, bool] = {}
    for group in (network, files, identity, limits):
        held |= group(job)
    header, body = json.dumps({"kind": "ready"}).encode(), json.dumps(held).encode()
    os.write(results, struct.pack(">HI", len(header), len(body)) + header + body)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        os.write(1, bytes(1 << 16))


if __name__ == "__main__":
    main()
