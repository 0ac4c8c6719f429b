"""Make a hand-in of a learner's work: look whether it can be graded, pack it, write the receipt. Nothing of it is run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from environments.errors import BadInputError
from environments.handin.archive import pack
from environments.handin.folder import Contents, FolderError, read_folder
from environments.handin.notebook import Cell, NotebookError, parse
from environments.handin.receipt import Receipt
from environments.labspec import LabSpec
from environments.storage import write_whole

CODE_STUB: Final = "raise NotImplementedError"
TEXT_STUB: Final = "*Your answer here*"
_AS_IT_WAS = "Mend it, then run the same command again. Nothing has been handed in."


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What was written, and what the learner should know: tasks that look unanswered, files that were left out."""

    archive: Path
    receipt: Receipt
    unanswered: tuple[str, ...]
    left_out: tuple[str, ...]


def submit(work: Path, spec: LabSpec, learner: str, out: Path, now: datetime | None = None) -> Submission:
    """Pack the folder `work` as `<out>/<learner>-<lab>-<time>.zip`, with the receipt beside it.

    Raises:
        BadInputError: a notebook is missing or none, or the folder holds what is never taken in.
        StorageError: the archive cannot be written.
    """
    contents = _read(work)
    unanswered = _unanswered(work, spec, contents)
    receipt = Receipt.of(contents, learner, spec, now or datetime.now(UTC))
    archive = out / f"{receipt.name}.zip"
    if archive.exists():
        raise BadInputError(f"{archive} is there already.", hint="Wait a second, then run the same command again.")
    write_whole(archive.with_suffix(".receipt.json"), receipt.as_json())
    write_whole(archive, pack(receipt, contents))
    return Submission(archive=archive, receipt=receipt, unanswered=unanswered, left_out=contents.left_out)


def _read(work: Path) -> Contents:
    try:
        return read_folder(work)
    except FolderError as error:
        raise BadInputError(str(error), hint=_AS_IT_WAS) from None
    except OSError as error:
        raise BadInputError(
            f"Cannot read {work}: {error.strerror}.", hint="Name the folder of your notebooks by --work."
        ) from None


def _unanswered(work: Path, spec: LabSpec, contents: Contents) -> tuple[str, ...]:
    """Ids of tasks with a cell that is still as the lab gave it.

    Raises:
        BadInputError: a notebook is missing or none; all are named at once.
    """
    problems: list[str] = []
    open_: list[str] = []
    for task in spec.tasks:
        if task.notebook not in contents.files:
            problems.append(f"{work / task.notebook} is missing. Hand in all notebooks of the lab.")
            continue
        try:
            if any(_is_stub(cell) for cell in parse(contents.files[task.notebook])):
                open_.append(task.id)
        except NotebookError as error:
            problems.append(f"{work / task.notebook} {error}.")
    if problems:
        raise BadInputError("\n".join(problems), hint=_AS_IT_WAS)
    return tuple(open_)


def _is_stub(cell: Cell) -> bool:
    stub = CODE_STUB if cell.cell_type == "code" else TEXT_STUB
    return any(line.strip() == stub for line in cell.source.splitlines())
