"""Loopback TCP ports reserved across processes, so that two footprints that start at once never take the same."""

from __future__ import annotations

import fcntl
import os
import random
import socket

from environments.errors import FootprintError
from environments.paths import cache_dir

# Below the kernel's range for outgoing connections (32768 up), so that no client's port is ever in the way.
FIRST, LAST = 20_000, 32_000


class Ports:
    """A set of reserved ports. A reservation is a locked file, which the kernel frees even after `kill -9`."""

    def __init__(self) -> None:
        self._locks: list[int] = []
        self._folder = cache_dir() / "ports"
        self._folder.mkdir(parents=True, exist_ok=True)

    def reserve(self) -> int:
        """A free port that no other process of ours will get while this object lives.

        Raises:
            FootprintError: every port of the range is taken.
        """
        for port in random.sample(range(FIRST, LAST), LAST - FIRST):
            if self._lock(port):
                return port
        raise FootprintError(f"No free TCP port from {FIRST} to {LAST}.", hint="Stop other footprints: mod209 down LAB")

    def release(self) -> None:
        """Give all ports back."""
        while self._locks:
            os.close(self._locks.pop())

    def _lock(self, port: int) -> bool:
        descriptor = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(descriptor)
            return False
        self._locks.append(descriptor)
        return True
