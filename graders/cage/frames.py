"""The way results come out of a cage: frames on a pipe. Everything read here is untrusted."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = struct.Struct(">HI")  # length of the header (JSON), length of the body (bytes)
_HEADER_BYTES: Final = 1 << 14
_PROBLEM_LENGTH: Final = 300


class FrameError(ValueError):
    """The bytes are not frames as a cage writes them."""


class Kind(StrEnum):
    """What a frame says."""

    READY = "ready"  # nothing of the learner's has run yet
    NOTEBOOK = "notebook"  # the body is an executed notebook
    DONE = "done"  # all notebooks were run


@dataclass(frozen=True)
class Frame:
    """One frame: `name` is a notebook's path, `problem` why it was not run to its end (else empty)."""

    kind: Kind
    name: str
    problem: str
    body: bytes


class FrameReader:
    """Cuts a stream into frames; keeps at most one incomplete frame."""

    def __init__(self, body_bytes: int) -> None:
        """Refuse bodies longer than `body_bytes`."""
        self._body_bytes = body_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames that these bytes complete.

        Raises:
            FrameError: The bytes are not frames, or a frame is too long.
        """
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if len(self._buffer) < PREFIX.size:
            return None
        header_length, body_length = PREFIX.unpack_from(self._buffer)
        if header_length > _HEADER_BYTES or body_length > self._body_bytes:
            raise FrameError("a frame is too long")
        start, end = PREFIX.size + header_length, PREFIX.size + header_length + body_length
        if len(self._buffer) < end:
            return None
        header, body = bytes(self._buffer[PREFIX.size : start]), bytes(self._buffer[start:end])
        del self._buffer[:end]
        return _frame(header, body)


def _frame(header: bytes, body: bytes) -> Frame:
    try:
        fields = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise FrameError("a frame's header is not JSON") from error
    if not isinstance(fields, dict) or not fields.keys() <= {"kind", "name", "problem"}:
        raise FrameError("a frame's header has unknown fields")
    if not all(isinstance(value, str) for value in fields.values()) or fields.get("kind") not in set(Kind):
        raise FrameError("a frame's header has wrong values")
    problem = printable(fields.get("problem", ""))[:_PROBLEM_LENGTH]
    return Frame(Kind(fields["kind"]), fields.get("name", ""), problem, body)


def printable(text: str) -> str:
    """The text with every character that could steer a terminal made a space, and runs of space made one."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
