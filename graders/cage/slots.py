"""Slots: a uid of its own for every cage that runs at the same time on this machine."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from environments.errors import CageError

FIRST_UID: Final = 209_000
SLOTS: Final = 256
PREFIX: Final = "mod209-cage"
# One fixed place, so that every grader on the machine sees the same locks.
LOCKS: Final = Path("/run/mod209-cage")


@dataclass(frozen=True)
class Slot:
    """A reserved number, which gives the cage its uid and its cgroup's name."""

    number: int

    @property
    def uid(self) -> int:
        """The caged user's uid and gid, as the kernel knows it."""
        return FIRST_UID + self.number

    @property
    def name(self) -> str:
        """Name of the cage's cgroup."""
        return f"{PREFIX}-{self.number}"


@contextmanager
def reserved() -> Iterator[Slot]:
    """Hold a free slot; the kernel frees it when this process ends, however it ends.

    Raises:
        CageError: All slots are taken, or the folder of locks is not root's own.
    """
    _make_folder()
    for number in range(SLOTS):
        with _held(number) as free:
            if free:
                yield Slot(number)
                return
    raise CageError(f"all {SLOTS} cages of this machine are in use", hint="Wait, or grade with fewer --workers.")


@contextmanager
def abandoned(name: str) -> Iterator[bool]:
    """Whether a cgroup of this name belongs to a cage that nobody runs; while held, nobody starts it either."""
    _make_folder()
    prefix, _, number = name.rpartition("-")
    if prefix != PREFIX or not number.isdecimal():
        yield False
        return
    with _held(int(number)) as free:
        yield free


@contextmanager
def _held(number: int) -> Iterator[bool]:
    lock = os.open(LOCKS / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield not _taken(lock)
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _make_folder() -> None:
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    seen = LOCKS.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != 0 or seen.st_mode & 0o022:
        raise CageError(f"{LOCKS} is not a folder of root's alone", hint=f"Remove {LOCKS} and try again.")
