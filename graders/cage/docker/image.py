"""The cage's image: folders, links and a few small files. All else is shown from the host when a cage starts."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Final

from graders.cage import interpreter, slots
from graders.cage.base import Limits
from graders.cage.docker.daemon import Daemon
from graders.cage.root import Layout, layout

FIRST: Final = Path("/opt/cage/first.py")
_SOURCE: Final = Path(__file__).parent.with_name("inside") / "first.py"
_NAME: Final = "mod209-cage"
_DIGITS: Final = 16
# Docker mounts these; a root that cannot be written must have the places.
_MOUNTED: Final = ("/dev", "/proc", "/sys", "/usr")


def image(daemon: Daemon) -> str:
    """The image's name, which tells its content; it is made if it is not there.

    Raises:
        CageError: The daemon does not make it.
    """
    archive = packed(layout(interpreter.current(), Limits(), every_uid(), None))
    tag = hashlib.sha256(archive).hexdigest()[:_DIGITS]
    if not daemon.has_image(name := f"{_NAME}:{tag}"):
        daemon.import_image(archive, _NAME, tag)
    return name


def every_uid() -> range:
    """Uids of all slots, since one image serves them all."""
    return range(slots.FIRST_UID, slots.FIRST_UID + slots.SLOTS)


def packed(root: Layout) -> bytes:
    """The part of a root that is the same for every run, as a tar archive; the same root gives the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in (*map(Path, _MOUNTED), *root.folders):
            # runc gives a folder in memory the mode of the folder that it is mounted on.
            _add(archive, folder, 0o1777 if folder in root.writable else 0o755, tarfile.DIRTYPE)
        for path, target in root.links.items():
            _add(archive, path, 0o777, tarfile.SYMTYPE, link=str(target))
        for path, text in (root.texts | {FIRST: _SOURCE.read_text(encoding="utf-8")}).items():
            _add(archive, path, 0o444, content=text.encode())
        for path, text in root.secrets.items():
            _add(archive, path, 0o400, content=text.encode())
    return buffer.getvalue()


def _add(
    archive: tarfile.TarFile,
    path: Path,
    mode: int,
    kind: bytes = tarfile.REGTYPE,
    content: bytes = b"",
    link: str = "",
) -> None:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    entry.mode, entry.type, entry.size, entry.linkname = mode, kind, len(content), link
    archive.addfile(entry, io.BytesIO(content))
