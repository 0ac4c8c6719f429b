"""How a client and the supervisor talk: one JSON line each way over a unix socket that only its owner may open."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from environments.errors import CourseError, FootprintError, StorageError

CONTROL = "control.sock"
MAX_LINE = 8 << 20
REQUEST_SECONDS = 240.0  # a crew of pods may have to start first


def listen(directory: Path) -> socket.socket:
    """The control socket of the footprint in `directory`."""
    path = directory / CONTROL
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with _short(directory) as folder:
        listener.bind(f"{folder}/{CONTROL}")
    path.chmod(0o600)
    listener.listen()
    return listener


def request(directory: Path, operation: str, **arguments: Any) -> Any:
    """Ask the supervisor of the footprint in `directory`; returns its result.

    Raises:
        FootprintError: it is not running, or what it was asked failed.
        StorageError: that failed because the disk is full.
    """
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(REQUEST_SECONDS)
        try:
            with _short(directory) as folder:
                link.connect(f"{folder}/{CONTROL}")
            send(link, {"operation": operation, "arguments": arguments})
            answer = receive(link)
        except (OSError, ValueError):
            raise FootprintError(
                "The footprint is not running, or does not answer.", hint="Start it: mod209 up zero-trust"
            ) from None
    if "error" in answer:
        raise error_of(answer)
    return answer["result"]


def send(link: socket.socket, message: dict[str, Any]) -> None:
    """Send one message."""
    link.sendall(json.dumps(message).encode() + b"\n")


def receive(link: socket.socket) -> dict[str, Any]:
    """Receive one message of at most `MAX_LINE` bytes.

    Raises:
        ValueError: it is too long, cut off, or no JSON object.
    """
    with link.makefile("rb") as stream:
        line = stream.readline(MAX_LINE)
    message = json.loads(line)
    if not line.endswith(b"\n") or not isinstance(message, dict):
        raise ValueError("not a message")
    return message


def failure(error: CourseError) -> dict[str, Any]:
    """An expected error as a message."""
    return {"error": error.message, "hint": error.hint, "storage": isinstance(error, StorageError)}


def error_of(message: dict[str, Any]) -> CourseError:
    """The error that a message of `failure` tells of."""
    kind = StorageError if message.get("storage") else FootprintError
    return kind(message["error"], hint=message["hint"])


@contextmanager
def _short(directory: Path) -> Iterator[str]:
    """A short name of a folder while the context lasts: a unix socket's path may have 107 bytes, and folders can be deep."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
