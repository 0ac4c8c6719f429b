"""Take submissions in: judge nothing, run nothing, trust nothing, and leave in the staging folder only what may run."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from environments.errors import BadInputError, StorageError
from environments.handin.folder import Contents, FolderError, read_folder
from environments.handin.notebook import Cell, NotebookError, parse, parse_release, render
from environments.handin.untrusted import one_line
from environments.labspec import LabSpec
from environments.params import LEARNER_ID
from graders.locked import restore

MAX_NOTES = 50
MAX_NOTE = 300


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A submission that may run: its folder, the digest of what was handed in, and what intake left out or put back."""

    learner: str
    path: Path
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A submission that cannot run, and why, in a sentence for the learner. No `sha256` where it was not all read."""

    learner: str
    sha256: str | None
    error: str


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Every submission that was found, by learner."""

    submissions: tuple[Staged | Refused, ...]

    @property
    def staged(self) -> tuple[Staged, ...]:
        """Those that may run."""
        return tuple(one for one in self.submissions if isinstance(one, Staged))

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Those that may not."""
        return tuple(one for one in self.submissions if isinstance(one, Refused))


def lab_notebooks(spec: LabSpec) -> list[str]:
    """File names of the lab's notebooks, in the order of the tasks, each once."""
    return list(dict.fromkeys(task.notebook for task in spec.tasks))


def take_in(submitted: Path, spec: LabSpec, release: Path, staging: Path) -> Intake:
    """Check every submission `submitted/<learner>/<slug>/` and put those that may run into `staging/<learner>/`.

    Args:
        submitted: folder of all learners; only a folder of this lab's slug in theirs counts.
        spec: the lab.
        release: folder of the lab's released notebooks, whose locked cells are put back.
        staging: new or empty folder of ours.

    Raises:
        BadInputError: there is no submission at all, or the release is not complete.
        StorageError: staging cannot be written.
    """
    released = _read_release(release, spec)
    learners = sorted(_learners(submitted, spec.slug))
    if not learners:
        raise BadInputError(
            f"There is no submission of {spec.slug} in {submitted}.",
            hint=f"Name a folder that holds <learner>/{spec.slug}/ for each learner.",
        )
    return Intake(submissions=tuple(_take_in_one(submitted, learner, spec, released, staging) for learner in learners))


def staged_digest(folder: Path) -> str:
    """SHA-256 over names and bytes of everything staged below `folder`."""
    state = hashlib.sha256()
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            for part in (str(path.relative_to(folder)).encode(), path.read_bytes()):
                state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()


def _learners(submitted: Path, slug: str) -> Iterator[str]:
    try:
        with os.scandir(submitted) as entries:
            # lexists: a broken link in place of a submission is refused and reported, not passed over.
            yield from (
                entry.name for entry in entries if entry.name[0] != "." and os.path.lexists(Path(entry.path, slug))
            )
    except OSError as error:
        raise BadInputError(
            f"Cannot read {submitted}: {error.strerror}.", hint="Name the folder of submissions."
        ) from None


def _read_release(release: Path, spec: LabSpec) -> dict[str, list[Cell]]:
    try:
        return {name: parse_release((release / name).read_bytes()) for name in lab_notebooks(spec)}
    except (OSError, NotebookError, KeyError) as error:
        raise BadInputError(
            f"The released notebooks in {release} are not complete: {error}.", hint=f"Run: mod209 release {spec.slug}"
        ) from None


def _take_in_one(
    submitted: Path, learner: str, spec: LabSpec, released: dict[str, list[Cell]], staging: Path
) -> Staged | Refused:
    if not LEARNER_ID.fullmatch(learner):
        # Quoted, so that it can never pass for another learner's id once the odd characters are gone.
        name = repr(one_line(learner, 80))
        return Refused(learner=name, sha256=None, error=f"The folder's name {name} cannot be a learner's id.")
    sha256 = None
    try:
        contents = read_folder(submitted, learner, spec.slug)
        sha256 = contents.sha256
        files, notes = _prepared(contents, released)
    except (FolderError, NotebookError) as error:
        return Refused(learner=learner, sha256=sha256, error=one_line(str(error), MAX_NOTE))
    except OSError as error:
        return Refused(learner=learner, sha256=None, error=f"The submission cannot be read: {error.strerror}.")
    path = _stage(staging / learner, files)
    return Staged(learner=learner, path=path, sha256=sha256, notes=_bounded(notes))


def _prepared(contents: Contents, released: dict[str, list[Cell]]) -> tuple[dict[str, bytes], list[str]]:
    files = {name: data for name, data in contents.files.items() if not name.lower().endswith(".ipynb")}
    others = [name for name in contents.files if name not in files and name not in released]
    notes = [f"{name} was left out: it is not one of the lab's notebooks." for name in others]
    notes += [f"{name} was left out: files of this kind are not graded." for name in contents.left_out]
    for name, release in released.items():
        if name not in contents.files:
            raise NotebookError(
                f"{name} is missing. Hand in all notebooks of the lab, also those that you did not change."
            )
        files[name], changes = _restored(name, release, contents.files[name])
        notes += [f"{name}: {change}" for change in changes]
    return files, notes


def _restored(name: str, release: list[Cell], data: bytes) -> tuple[bytes, list[str]]:
    try:
        cells, changes = restore(release, parse(data))
    except NotebookError as error:
        raise NotebookError(f"{name} {error}.") from None
    return render(cells), changes


def _stage(folder: Path, files: dict[str, bytes]) -> Path:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise StorageError(
            f"Cannot write {folder}: {error.strerror}.", hint="Free some space and grade again."
        ) from None
    return folder


def _bounded(notes: list[str]) -> tuple[str, ...]:
    shown = [one_line(note, MAX_NOTE) for note in notes[:MAX_NOTES]]
    rest = len(notes) - len(shown)
    return (*shown, f"And {rest} more of this kind.") if rest else tuple(shown)
