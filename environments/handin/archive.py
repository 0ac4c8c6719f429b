"""The archive of a hand-in: a plain zip of `receipt.json` and `work/…`. Reading one trusts nothing in it."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from environments.handin.folder import (
    MAX_ALL_BYTES,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_NAME_BYTES,
    Contents,
    FolderError,
    check_path,
)
from environments.handin.receipt import Receipt, ReceiptError
from environments.handin.untrusted import one_line

RECEIPT: Final = "receipt.json"
WORK: Final = "work/"
MAX_ARCHIVE_BYTES: Final = MAX_ALL_BYTES + (1 << 20)
# The end of a zip without comment: signature, disk numbers, entries, size and place of the directory, no comment.
_END: Final = struct.Struct("<4sHHHHIIH")
_MAX_DIRECTORY_BYTES: Final = (MAX_FILES + 1) * (46 + 8 * MAX_NAME_BYTES)
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 1


class ArchiveError(Exception):
    """The bytes are no hand-in; the text is a sentence."""


def pack(receipt: Receipt, contents: Contents) -> bytes:
    """The archive; the same input gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entries = {RECEIPT: receipt.as_json()} | {WORK + path: data for path, data in contents.files.items()}
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3  # Unix, wherever it is made
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack(data: bytes) -> tuple[Receipt, Contents]:
    """The receipt and the files of an archive that nobody vouches for. No name or size in it is believed.

    Raises:
        ArchiveError: it is no such archive, holds what is never taken in, or its receipt is not for its files.
    """
    _check_end(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = dict(_files(archive))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, struct.error) as error:
        raise ArchiveError(f"It is no zip archive that can be read ({one_line(str(error), 200)}).") from None
    try:
        receipt = Receipt.read(files.pop(RECEIPT, b""))
        contents = Contents(files=dict(sorted(_work(files))), left_out=())
        receipt.check(contents)
    except (ReceiptError, FolderError) as error:
        raise ArchiveError(str(error)) from None
    return receipt, contents


def _check_end(data: bytes) -> None:
    """A directory of half a million entries is refused before it costs memory."""
    if len(data) > MAX_ARCHIVE_BYTES:
        raise ArchiveError(f"It is larger than {MAX_ARCHIVE_BYTES >> 20} MiB.")
    if len(data) < _END.size:
        raise ArchiveError("It is no zip archive.")
    signature, _, _, _, entries, size, _, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise ArchiveError("It is no zip archive as `mod209 submit` writes it.")
    if entries > MAX_FILES + 1 or size > _MAX_DIRECTORY_BYTES:
        raise ArchiveError(f"There are more than {MAX_FILES} files in it.")


def _files(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    room = MAX_ALL_BYTES + MAX_FILE_BYTES
    for entry in archive.infolist():
        name = one_line(entry.filename, 200)
        if entry.filename.casefold() in seen:
            raise ArchiveError(f"{name} is in it twice.")
        seen.add(entry.filename.casefold())
        _check_entry(entry, name)
        with archive.open(entry) as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        room -= len(data)
        if len(data) > MAX_FILE_BYTES or room < 0:
            raise ArchiveError(f"{name} or all together is larger than is ever handed in.")
        yield entry.filename, data


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG} or entry.is_dir():
        raise ArchiveError(f"{name} is no plain file.")
    if entry.compress_type not in _METHODS or entry.flag_bits & _ENCRYPTED:
        raise ArchiveError(f"{name} is packed in a way that `mod209 submit` does not use.")


def _work(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, data in files.items():
        if not name.startswith(WORK):
            raise ArchiveError(f"{one_line(name, 200)} does not belong into a hand-in.")
        path = name.removeprefix(WORK)
        check_path(path)
        yield path, data
