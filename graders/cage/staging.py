"""Packs a job for its cage: the submission's files, the access file and what to run, as one archive in memory."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from environments.errors import CageError
from graders.cage.base import Job

_HINT = "Intake refuses such submissions: pass only what it has staged."


def staged(job: Job) -> bytes:
    """A tar archive with the submission below `work/`, and `job.json`.

    Raises:
        CageError: The submission holds something else than regular files and folders, is larger than the cage's
            writable space, or lacks one of the notebooks.
    """
    buffer = io.BytesIO()
    names = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _files(job.files):
            name = path.relative_to(job.files).as_posix()
            _add(archive, f"work/{name}", _content(path, job.limits.file_bytes - buffer.tell()))
            names.add(name)
        order = {"access": job.access.decode(), "notebooks": job.notebooks, "cell_seconds": job.limits.cell_seconds}
        _add(archive, "job.json", json.dumps(order).encode())
    if missing := [name for name in job.notebooks if PurePosixPath(name).as_posix() not in names]:
        raise CageError(f"the submission has no {', '.join(missing)}", hint=_HINT)
    return buffer.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=_fail):
        for name in sorted([*folders, *names]):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif not stat.S_ISDIR(mode):
                raise CageError(f"{path.name} in the submission is not a regular file", hint=_HINT)


def _fail(error: OSError) -> None:
    raise CageError(f"the submission cannot be read: {error}", hint=_HINT)


def _content(path: Path, room: int) -> bytes:
    # The file may have been exchanged since it was listed; a link is not followed, and no more is read than fits.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        content = file.read(max(0, room) + 1)
    if len(content) > room:
        raise CageError("the submission is larger than the cage's writable space", hint=_HINT)
    return content


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))
