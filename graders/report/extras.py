"""What a report shows of a submission beside its verdicts, made fit to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from environments.handin.notebook import Cell, NotebookError, parse
from environments.handin.untrusted import displayable, one_line
from graders.verdicts import Asked

MAX_OUTPUT: Final = 4_000
MAX_NOTEBOOK: Final = 40_000
MAX_NOTES: Final = 60


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What happened to a submission on its way.

    Attributes:
        notes: what intake left out or put back, and what the cage saw, in sentences.
        notebooks: executed notebooks by file name, as they came out of the cage: a learner's bytes, not to be trusted.
        asked: by id of the check, the visible requests that the judge sent for it, and what came back.
        seconds: wall time of each step that was taken: `reset`, `cage`, `settle`, `judge`.
    """

    notes: tuple[str, ...] = ()
    notebooks: Mapping[str, bytes] = field(default_factory=dict)
    asked: Mapping[str, tuple[Asked, ...]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CellOutput:
    """What one cell printed: text only, bounded."""

    number: int
    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class NotebookOutput:
    """What the cells of one notebook printed; `problem` says why there is nothing, where it could not be read."""

    name: str
    cells: tuple[CellOutput, ...] = ()
    problem: str | None = None


def shown_notes(extras: Extras) -> list[str]:
    """The notes, bounded and each on one line."""
    return [one_line(note, 400) for note in extras.notes[:MAX_NOTES]]


def outputs(extras: Extras) -> list[NotebookOutput]:
    """The texts that the executed notebooks printed, by notebook."""
    return [_outputs(one_line(name, 120), data) for name, data in extras.notebooks.items()]


def _outputs(name: str, data: bytes) -> NotebookOutput:
    try:
        cells = parse(data)
    except NotebookError as error:
        return NotebookOutput(name=name, problem=f"What came out of the run {error}.")
    return NotebookOutput(name=name, cells=tuple(_bounded(cells)))


def _bounded(cells: list[Cell]) -> Iterator[CellOutput]:
    left = MAX_NOTEBOOK
    for number, cell in enumerate(cells, 1):
        text = displayable("\n".join(part.rstrip("\n") for part in cell.outputs), MAX_OUTPUT).strip("\n")
        if text and left > 0:
            left -= len(text)
            yield CellOutput(number=number, name=cell.grade_id or "your own cell", text=text)
