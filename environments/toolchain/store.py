"""The cache of tools: `<cache>/tools/<tool>-<version>/`, where a binary counts only with the record written after it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from environments.errors import StorageError
from environments.paths import cache_dir
from environments.toolchain.tool import CancelledError, Source, Tool
from environments.yamlfile import Strict

_RECORD: Final = "record.json"
_PARTIAL: Final = ".partial-"
_LOCK_POLL_SECONDS: Final = 0.05


class Record(Strict):
    """What is known of a cached binary; size and mtime stand for its hash until one of them differs."""

    name: str
    version: str
    source: Source
    origin: str
    sha256: str
    size: int
    mtime_ns: int


def tools_dir() -> Path:
    """Where cached tools live."""
    return cache_dir() / "tools"


@dataclass(frozen=True)
class Slot:
    """The place of one tool in one version in the cache."""

    name: str
    version: str

    @property
    def folder(self) -> Path:
        """Where the binary, its record, its lock and what is on its way are."""
        return tools_dir() / f"{self.name}-{self.version}"

    @property
    def binary(self) -> Path:
        """Where the binary is, if it is there."""
        return self.folder / self.name

    def lookup(self) -> Tool | None:
        """The cached tool, or None when there is none that is whole."""
        try:
            record = Record.model_validate_json((self.folder / _RECORD).read_bytes())
            stat = self.binary.stat()
        except (OSError, ValidationError):
            return None
        if (record.name, record.version, record.size) != (self.name, self.version, stat.st_size):
            return None
        if record.mtime_ns != stat.st_mtime_ns and not self._still(record, stat.st_mtime_ns):
            return None
        return self._tool("cache", f"{record.source}: {record.origin}")

    def install(self, partial: Path, *, source: Source, origin: str) -> Tool:
        """Put `partial` (from `partial()`) in its place, under the lock. Whoever looks sees all of it or nothing."""
        partial.chmod(0o755)
        with partial.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        stat = partial.stat()
        record = Record(
            name=self.name,
            version=self.version,
            source=source,
            origin=origin,
            sha256=sha256,
            size=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
        )
        partial.replace(self.binary)
        write_atomically(self.folder / _RECORD, record.model_dump_json(indent=1))
        return self._tool(source, origin)

    @contextmanager
    def partial(self) -> Iterator[Path]:
        """A new empty file in the slot, for a binary or archive on its way; gone afterwards unless installed."""
        descriptor, name = tempfile.mkstemp(prefix=_PARTIAL, dir=self.folder)
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def locked(self, cancel: threading.Event, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the slot against other processes and threads; what a killed holder left half-done is swept away."""
        with storage(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with flock(self.folder / ".lock", cancel, waiting):
            for leftover in self.folder.glob(f"{_PARTIAL}*"):
                leftover.unlink(missing_ok=True)
            yield

    def _still(self, record: Record, mtime_ns: int) -> bool:
        """Whether a binary whose mtime changed is the one recorded; the new mtime is then kept, if it can be."""
        with self.binary.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != record.sha256:
                return False
        with suppress(OSError):  # a read-only cache, such as an image's, stays as it is
            renewed = record.model_copy(update={"mtime_ns": mtime_ns})
            write_atomically(self.folder / _RECORD, renewed.model_dump_json(indent=1))
        return True

    def _tool(self, source: Source, origin: str) -> Tool:
        return Tool(name=self.name, version=self.version, path=self.binary, source=source, origin=origin)


@contextmanager
def flock(path: Path, cancel: threading.Event, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel gives it up when the holder dies.

    Raises:
        CancelledError: `cancel` was set while waiting.
    """
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    with stream:
        told = False
        while not _take(stream.fileno()):
            if not told:
                waiting()
                told = True
            if cancel.wait(_LOCK_POLL_SECONDS):
                raise CancelledError
        yield


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn any failure to write below `path` into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot write {path}: {error.strerror or error}.",
            hint="Free some disk space, or set MOD209_CACHE to a folder with room (a build from source takes about 4 GB).",
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or all of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), 0o644)  # an image's cache is written by root and read by others
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
