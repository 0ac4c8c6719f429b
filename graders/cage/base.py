"""What every cage offers, whatever confines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one cage may use, all its processes together; sizes in bytes, times in seconds."""

    memory_bytes: int = 1024 * MIB  # resident memory, swap and files in the cage, together
    processes: int = 128  # processes and threads
    cpu_seconds: float = 240
    wall_seconds: float = 300
    output_bytes: int = 16 * MIB  # executed notebooks and everything printed past the notebooks
    file_bytes: int = 64 * MIB  # everything that may be written; also the longest single file
    cell_seconds: float = 120  # a cell that runs longer is interrupted, and the next one is run


@dataclass(frozen=True, kw_only=True)
class Job:
    """One submission to run.

    Attributes:
        files: Folder of the submission: regular files and folders only. The cage works on a copy.
        notebooks: Paths relative to `files`, run in this order, each with a fresh kernel.
        access: The operator's access file (JSON), which `MOD209_ACCESS` names inside.
        ports: TCP ports of the host's 127.0.0.1 that the cage reaches, under the same numbers on its own 127.0.0.1.
        course: A lab's public folder, seen read-only at `/opt/course/labs/<its name>`.
        limits: What the cage may use.
    """

    files: Path
    notebooks: tuple[str, ...]
    access: bytes
    ports: tuple[int, ...] = ()
    course: Path | None = None
    limits: Limits = field(default_factory=Limits)


class Status(StrEnum):
    """How a run ended. Cells that raise, hang or kill their kernel do not keep a run from being `FINISHED`."""

    FINISHED = "finished"
    TIMEOUT = "timeout"  # wall time or CPU time used up
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"  # the run itself was killed for want of memory
    CRASHED = "crashed"  # the run ended itself, or wrote nonsense


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, and what may be shown of it.

    Attributes:
        status: How it ended. A hostile notebook can feign `FINISHED` or `CRASHED`; the limits it cannot.
        notebooks: Executed notebooks by path, as many as were finished. Untrusted bytes, for display only.
        detail: For a person: what went wrong, in printable text of bounded length. Untrusted in part.
        seconds: Wall time.
        peak_memory_bytes: Highest memory use, where the system tells it.
    """

    status: Status
    notebooks: Mapping[str, bytes]
    detail: str
    seconds: float
    peak_memory_bytes: int | None


class Cage(Protocol):
    """A way to confine a run."""

    name: str

    def prove(self) -> None:
        """Try to get out of a real cage, and past its limits.

        Raises:
            CageError: The cage is missing, or one of the attempts was not stopped; the message names it.
        """

    def run(self, job: Job) -> Outcome:
        """Run the notebooks of a job; blocks until nothing of it is left. Safe to call from several threads.

        Raises:
            CageError: The cage could not be made, or the job has files that cannot be staged. Says nothing about
                the learner's work.
        """
