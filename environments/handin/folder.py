"""Read a folder that a learner controls, perhaps at this moment, without following it anywhere.

Every step is taken from an open directory, never through a link, and what was opened is looked at again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from environments.handin.untrusted import one_line

SUFFIXES: Final = frozenset({".ipynb", ".rego", ".hcl", ".yaml", ".yml", ".json", ".txt", ".md", ".py"})
MAX_FILES = 200
MAX_FOLDERS = 50
MAX_FILE_BYTES = 2_000_000
MAX_ALL_BYTES = 20_000_000
MAX_NAME_BYTES = 120
MAX_DEPTH = 8
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class FolderError(Exception):
    """The folder holds something that is never taken in; the text is a sentence for the learner."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What was taken: relative POSIX path -> bytes, in the order of the paths; and the names that were left out."""

    files: dict[str, bytes]
    left_out: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Digest of all paths and bytes: the same for the same files, wherever they lie."""
        digest = hashlib.sha256()
        for name, data in self.files.items():
            for part in (name.encode(), data):
                digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


@dataclass(kw_only=True)
class _Walk:
    files: dict[str, bytes] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    links: Counter[tuple[int, int]] = field(default_factory=Counter)
    wanted: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    seen: int = 0
    folders: int = 0
    taken_bytes: int = 0


def read_folder(*steps: Path | str) -> Contents:
    """All files of the allowed kinds below a folder; the first step is trusted, each further one must be a real folder.

    Hidden files and folders, and files of other kinds, are left out.

    Raises:
        FolderError: a link, a device, an odd name, or more or larger files than are ever handed in.
        OSError: something cannot be read.
    """
    walk = _Walk()
    with _opened(steps) as folder:
        _take_folder(walk, folder, "", 1)
    for inode, (name, links) in walk.wanted.items():
        if links != walk.links[inode]:
            raise FolderError(f"{name} is also linked from outside the submission. Hand in a copy of it.")
    return Contents(files=dict(sorted(walk.files.items())), left_out=tuple(sorted(walk.left_out)))


def check_path(path: str) -> None:
    """Refuse a relative path that `read_folder` would not take, wherever it comes from.

    Raises:
        FolderError: it is absolute, leads elsewhere, is hidden, too deep, oddly named, or of another kind of file.
    """
    *folders, name = path.split("/")
    for step in (*folders, name):
        _check_name(step, path)
        if not step or step.startswith(".") or step == "__pycache__":
            raise FolderError(f"{one_line(path, 200)} is hidden or leads elsewhere.")
    if len(folders) >= MAX_DEPTH or Path(name).suffix.lower() not in SUFFIXES:
        raise FolderError(f"{one_line(path, 200)} is no file that is handed in.")


@contextmanager
def _opened(steps: tuple[Path | str, ...]) -> Iterator[int]:
    descriptor = os.open(steps[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in steps[1:]:
            inner = _open_folder(descriptor, str(step), str(step))
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _open_folder(parent: int, name: str, path: str) -> int:
    try:
        return os.open(name, _OPEN_FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        raise FolderError(f"{one_line(path, 200)} is a link or no folder. Hand in real folders only.") from None


def _take_folder(walk: _Walk, folder: int, prefix: str, depth: int) -> None:
    walk.folders += 1
    if depth > MAX_DEPTH or walk.folders > MAX_FOLDERS:
        raise FolderError(f"There are more than {MAX_FOLDERS} folders, or folders more than {MAX_DEPTH} deep.")
    with os.scandir(folder) as entries:
        for entry in entries:
            _take(walk, folder, entry, prefix, depth)


def _take(walk: _Walk, folder: int, entry: os.DirEntry[str], prefix: str, depth: int) -> None:
    walk.seen += 1
    if walk.seen > MAX_FILES:
        raise FolderError(
            f"There are more than {MAX_FILES} files. Hand in only the lab's notebooks and your own files."
        )
    path = prefix + entry.name
    about = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(about.st_mode):
        raise FolderError(f"{one_line(path, 200)} is a link. Hand in the file itself.")
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
        raise FolderError(f"{one_line(path, 200)} is a device, pipe or socket. Hand in plain files only.")
    if entry.name.startswith(".") or entry.name == "__pycache__":
        walk.left_out.append(one_line(path, 200))
        return
    _check_name(entry.name, path)
    if stat.S_ISREG(about.st_mode):
        _take_file(walk, folder, entry.name, path)
        return
    inner = _open_folder(folder, entry.name, path)
    try:
        _take_folder(walk, inner, path + "/", depth + 1)
    finally:
        os.close(inner)


def _check_name(name: str, path: str) -> None:
    odd = not name.isprintable() or name.startswith("-") or any(char in name for char in '\\:*?"<>|')
    # A name that is no UTF-8 comes with lone surrogates, which are not printable.
    if odd or len(name.encode()) > MAX_NAME_BYTES or name != name.strip():
        raise FolderError(f"{one_line(path, 200)} has an odd or overlong name. Use letters, digits, dots and dashes.")


def _take_file(walk: _Walk, folder: int, name: str, path: str) -> None:
    if Path(name).suffix.lower() not in SUFFIXES:
        walk.left_out.append(path)
        return
    descriptor = os.open(name, _OPEN_FILE, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as stream:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise FolderError(f"{path} is not a plain file.")
        inode = (about.st_dev, about.st_ino)
        walk.links[inode] += 1
        walk.wanted[inode] = (path, about.st_nlink)
        # A huge file is never read at all; the read is bounded besides, for a file that grows meanwhile.
        data = stream.read(MAX_FILE_BYTES + 1) if about.st_size <= MAX_FILE_BYTES else None
    if data is None or len(data) > MAX_FILE_BYTES:
        raise FolderError(
            f"{path} is larger than {MAX_FILE_BYTES // 1_000_000} MB. Clear the outputs and save it again."
        )
    walk.taken_bytes += len(data)
    if walk.taken_bytes > MAX_ALL_BYTES:
        raise FolderError(f"The files are larger than {MAX_ALL_BYTES // 1_000_000} MB in all.")
    walk.files[path] = data
