"""Archives that depend on their content alone: the same files always give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from typing import Final

EPOCH: Final = 315532800  # 1980-01-01, the earliest time that a zip can say
SUMS: Final = "SHA256SUMS"


def with_sums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files and their checksums, as `sha256sum --check` reads them."""
    lines = [f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files)]
    return dict(files) | {SUMS: "".join(lines).encode()}


def packed(top: str, files: Mapping[str, bytes]) -> bytes:
    """A .tar.gz of plain files (relative POSIX path -> bytes) in one folder `top`: sorted, without owners and times."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=EPOCH, compresslevel=9) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(files):
            entry = tarfile.TarInfo(f"{top}/{path}")
            entry.size, entry.mode, entry.mtime = len(files[path]), 0o644, EPOCH
            archive.addfile(entry, io.BytesIO(files[path]))
    return buffer.getvalue()
