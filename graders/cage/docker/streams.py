"""What a container writes, from the daemon's one connection to the pipes that are watched. Everything here is untrusted."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from io import FileIO
from types import TracebackType
from typing import Final, Self

from graders.cage.watch import Sources

_HEADER: Final = struct.Struct(">BxxxI")  # which stream, and how many bytes follow
_OUTPUT: Final = 1
_ERRORS: Final = 2
_CHUNK: Final = 1 << 16


class Streams:
    """Sorts a connection into results and what is printed, for as long as the context lasts."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connection to a container's output and errors."""
        self._connection = connection
        self._ends = [_pipe() for _ in range(3)]
        self._thread = threading.Thread(target=self._pump, name="cage-streams", daemon=True)

    @property
    def sources(self) -> Sources:
        """What to watch."""
        results, printed, ended = (reading.fileno() for reading, _ in self._ends)
        return Sources(results, printed, ended)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reading, _ in self._ends:
            reading.close()  # ends a thread that waits for a reader
        hang_up(self._connection)  # ends a thread that waits for the daemon
        self._thread.join()
        self._connection.close()

    def _pump(self) -> None:
        (_, results), (_, printed), (_, ended) = self._ends
        pipes = {_OUTPUT: results, _ERRORS: printed}
        with results, printed, ended, suppress(OSError):
            while header := self._taken(_HEADER.size):
                stream, length = _HEADER.unpack(header)
                while length and (chunk := self._connection.recv(min(length, _CHUNK))):
                    length -= len(chunk)
                    _write(pipes[stream], chunk)

    def _taken(self, length: int) -> bytes:
        """The next bytes, or none if the connection ends before."""
        data = b""
        while len(data) < length:
            if not (chunk := self._connection.recv(length - len(data))):
                return b""
            data += chunk
        return data


def hang_up(connection: socket.socket) -> None:
    """End a connection both ways; whoever reads from it finds its end."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _pipe() -> tuple[FileIO, FileIO]:
    reading, writing = os.pipe()
    return FileIO(reading, "r"), FileIO(writing, "w")


def _write(pipe: FileIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[pipe.write(view) or 0 :]
