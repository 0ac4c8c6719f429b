"""`mod209 collect`: hand-ins as they came (archives of `mod209 submit`) become the folders that `mod209 grade` reads.

Every archive is kept as it came, below `<learner>/.archives/<lab>/`; the newest of a learner is what gets graded.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from environments import console
from environments.errors import BadInputError, StorageError
from environments.handin.archive import MAX_ARCHIVE_BYTES, ArchiveError, unpack
from environments.handin.folder import Contents, FolderError, read_folder
from environments.handin.receipt import Receipt
from environments.labspec import LabSpec, load_lab
from environments.scratch import scratch
from environments.storage import write_whole

ARCHIVES: Final = ".archives"
CLOCKS_DIFFER: Final = timedelta(days=1)
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What became of one archive. `refused` says why it was not taken; `newest`: whether this is what will be graded."""

    archive: Path
    receipt: Receipt | None = None
    newest: bool = False
    refused: str | None = None


def collect(archives: Sequence[Path], spec: LabSpec, into: Path, now: datetime | None = None) -> list[Collected]:
    """Take archives in; one that is refused does not stop the others.

    Args:
        archives: files, or folders whose `*.zip` are taken.
        spec: the lab that they must be of.
        into: folder of all learners, as `mod209 grade` reads it.
        now: the present time; a receipt from the future is refused, since it would stay the newest.

    Raises:
        BadInputError: there is no archive at all.
        StorageError: `into` cannot be written.
    """
    paths = [path for named in archives for path in (sorted(named.glob("*.zip")) if named.is_dir() else [named])]
    if not paths:
        raise BadInputError("There is no archive in what you named.", hint="Name files that `mod209 submit` has made.")
    return [_take(path, spec, into, now or datetime.now(UTC)) for path in paths]


def _take(path: Path, spec: LabSpec, into: Path, now: datetime) -> Collected:
    try:
        data = _bytes(path)
        receipt, _ = unpack(data)
        _check(receipt, spec, now)
        newest = _keep(data, receipt, into)
    except (ArchiveError, FolderError) as error:
        return Collected(archive=path, refused=str(error))
    return Collected(archive=path, receipt=receipt, newest=newest)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        raise ArchiveError(f"It cannot be read: {error.strerror}.") from None


def _check(receipt: Receipt, spec: LabSpec, now: datetime) -> None:
    if receipt.lab != spec.slug:
        raise ArchiveError(f"It is of the lab {receipt.lab}, not {spec.slug}.")
    if receipt.submitted_at > now + CLOCKS_DIFFER:
        raise ArchiveError(f"It says that it is from {receipt.submitted_at:%Y-%m-%d}, which is yet to come.")


def _keep(data: bytes, receipt: Receipt, into: Path) -> bool:
    """Keep the archive as it came, and bring the learner's newest into force; returns whether that is this one."""
    learner = into / receipt.learner
    kept, present = learner / ARCHIVES / receipt.lab, learner / receipt.lab
    _check_present(present, kept)
    # Two of the same second are told apart by what they are.
    mine = kept / f"{receipt.stamp}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}.zip"
    if not mine.exists():
        write_whole(mine, data)
    newest = max(kept.glob("*.zip"), key=lambda path: path.name)
    _, contents = unpack(newest.read_bytes())
    _replace(present, contents)
    return newest == mine


def _check_present(present: Path, kept: Path) -> None:
    """Never put anything over work that came in another way, or that somebody has changed since.

    Raises:
        FolderError: the folder is not as an archive that is kept here.
    """
    if not present.exists():
        return
    if present.is_symlink() or read_folder(present).sha256 not in _digests(kept):
        raise FolderError(f"{present} did not come from an archive, or was changed since. Move it away first.")


def _digests(kept: Path) -> Iterator[str]:
    for path in sorted(kept.glob("*.zip"), reverse=True):
        yield unpack(path.read_bytes())[0].sha256


def _replace(present: Path, contents: Contents) -> None:
    """Put the files in place of what is there. An interruption leaves the old, the new or none; the next run mends that."""
    if present.exists() and read_folder(present).sha256 == contents.sha256:
        return
    try:
        with scratch("collect", present.parent) as room:
            _write(room / "new", contents)
            if present.exists():
                present.rename(room / "old")
            (room / "new").rename(present)
    except OSError as error:
        raise StorageError(
            f"Cannot write {present}: {error.strerror}.", hint="Free some space and collect again."
        ) from None


def _write(folder: Path, contents: Contents) -> None:
    folder.mkdir()
    for name, data in contents.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if read_folder(folder).sha256 != contents.sha256:
        shutil.rmtree(folder)
        raise FolderError("Its files do not keep their names here.")


def collect_command(
    lab: Annotated[str, typer.Argument(help="The lab, such as zero-trust.")],
    archives: Annotated[list[Path], typer.Argument(help="Archives of `mod209 submit`, or folders of them.")],
    *,
    into: Annotated[Path, typer.Option(help="Folder of all learners' submissions.")] = Path("submitted"),
    course: Annotated[
        Path, typer.Option("--course", envvar="MOD209_COURSE", help="The course's root folder.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Unpack what learners have handed in, safely; every archive is kept, and the newest of each learner counts."""
    done = collect(archives, load_lab(course.absolute(), lab), into)
    if as_json:
        console.print_json([_as_json(one) for one in done])
    for one in done if not as_json else ():
        console.out.print(_said(one), soft_wrap=True, markup=False)
    if refused := [one.archive.name for one in done if one.refused]:
        raise BadInputError(
            f"{len(refused)} of {len(done)} archives were refused: {', '.join(refused[:5])}.",
            hint="The others are in. Ask for a new archive, made by: mod209 submit",
        )


def _as_json(one: Collected) -> dict[str, object]:
    receipt = one.receipt.model_dump(mode="json", by_alias=True) if one.receipt else None
    return {"archive": str(one.archive), "receipt": receipt, "newest": one.newest, "refused": one.refused}


def _said(one: Collected) -> str:
    if one.receipt is None:
        return f"✗ {one.archive}: {one.refused}"
    place = "will be graded" if one.newest else "kept; a newer one will be graded"
    return f"✓ {one.receipt.learner}, {one.receipt.stamp}, sha256 {one.receipt.sha256}: {place}"
