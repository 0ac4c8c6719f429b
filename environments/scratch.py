"""Folders that are gone when their work is, also where Ctrl-C comes at the worst moment."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(name: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder for its owner's eyes only, below `parent` (the system's place for such if not given).

    `tempfile.TemporaryDirectory` leaves its folder behind if it is interrupted between making it and saying so, or while
    it removes it.
    """
    folder = (parent or Path(tempfile.gettempdir())) / f"mod209-{name}-{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:
            shutil.rmtree(folder, ignore_errors=True)
            raise
