"""The cage's only way out: TCP ports of its own loopback that lead to the same ports of the host's loopback.

The listening sockets are opened from outside, in the cage's network namespace, so the cage holds no part of the relay.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from environments.errors import CageError

_CLONE_NEWNET: Final = 0x40000000
_IP_FREEBIND: Final = 15  # not in the socket module; loopback may not be up yet
_LOOPBACK: Final = "127.0.0.1"
_CHUNK: Final = 1 << 16
CONNECTIONS: Final = 128  # at once and per cage, so that a flood cannot use up the grader's own file descriptors


class Relay:
    """Relays a cage's granted ports for as long as the context lasts."""

    def __init__(self, pid: int, ports: Sequence[int]) -> None:
        """Open the ports in the network namespace of a process.

        Args:
            pid: A process in the cage, as the host numbers it.
            ports: Ports to relay.

        Raises:
            CageError: The namespace or a port cannot be opened.
        """
        self._listeners = _listen_inside(pid, ports)
        # asyncio's own streams lose a connection that is accepted while they stop; what is here is closed at the end.
        self._accepted: set[socket.socket] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name=f"relay-{pid}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        for opened in (*self._listeners, *self._accepted):
            opened.close()

    def _serve(self) -> None:
        # What becomes of a learner's connections is no news: asyncio would print a traceback for each that is cut off.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        # The runner cancels what is still connected, and closes the loop.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)
        await self._stopped.wait()
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            near, _ = listener.accept()
        except OSError:  # whoever knocked has gone, or there are too many open files: the next one may be luckier
            return
        if len(self._connections) >= CONNECTIONS:
            near.close()
            return
        self._accepted.add(near)
        connection = self._loop.create_task(self._connected(near, listener.getsockname()[1]))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connected(self, near: socket.socket, port: int) -> None:
        try:
            with near, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as far:
                for side in (near, far):
                    side.setblocking(False)  # noqa: FBT003  its only argument
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._loop.sock_connect(far, (_LOOPBACK, port))
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(near, far))
                    both.create_task(self._pump(far, near))
        except* OSError:
            pass  # one side going away ends the connection, as it would without a relay
        finally:
            self._accepted.discard(near)

    async def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        while chunk := await self._loop.sock_recv(source, _CHUNK):
            await self._loop.sock_sendall(sink, chunk)
        sink.shutdown(socket.SHUT_WR)


def _listen_inside(pid: int, ports: Sequence[int]) -> list[socket.socket]:
    opened: list[socket.socket] = []
    errors: list[OSError] = []

    def enter_and_listen() -> None:
        try:
            _enter_network(pid)
            opened.extend(_listener(port) for port in ports)
        except OSError as error:
            errors.append(error)

    # A thread has a network namespace of its own, and takes it along when it ends.
    thread = threading.Thread(target=enter_and_listen)
    thread.start()
    thread.join()
    if errors:
        for listener in opened:
            listener.close()
        raise CageError(
            f"the cage's ports could not be opened: {errors[0]}",
            hint="Another program may hold one of them; grade again.",
        )
    return opened


def _enter_network(pid: int) -> None:
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(namespace).st_ino == Path("/proc/thread-self/ns/net").stat().st_ino:
            raise OSError("the cage has no network namespace of its own")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(namespace)


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((_LOOPBACK, port))
    listener.listen(64)
    listener.settimeout(0)
    return listener
