"""Read a notebook that nobody vouches for, down to what grading needs of it: kind, source and grade id of each cell.

Everything else in it (outputs, attachments, widget state, metadata) can carry code for the viewer, and is left behind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

FORMAT = 4
MAX_CELLS = 500
MAX_DEPTH = 32
MAX_OUTPUTS = 50
CELL_TYPES: Final = ("code", "markdown", "raw")
GRADE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
METADATA: Final = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(Exception):
    """The bytes are not a notebook that can be graded; the text says why, to be read after the notebook's name."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: `metadata` is empty except in cells that come from a release; `outputs` are the texts it printed."""

    cell_type: str
    source: str
    grade_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


def parse(data: bytes) -> list[Cell]:
    """The cells of an untrusted notebook (nbformat 4), without metadata but the grade id.

    Raises:
        NotebookError: not UTF-8, not JSON, not a notebook, too deep or with too many cells.
    """
    document = _json(data)
    if (
        not isinstance(document, dict)
        or not isinstance(document.get("cells"), list)
        or document.get("nbformat") != FORMAT
    ):
        raise NotebookError("is not a Jupyter notebook of format 4; open it in JupyterLab and save it again")
    if len(document["cells"]) > MAX_CELLS:
        raise NotebookError(f"has more than {MAX_CELLS} cells")
    return [_cell(number, raw) for number, raw in enumerate(document["cells"], 1)]


def parse_release(data: bytes) -> list[Cell]:
    """The cells of a notebook of ours, with their nbgrader metadata.

    Raises:
        NotebookError: see `parse`.
    """
    cells = parse(data)
    raws = json.loads(data)["cells"]
    return [replace(cell, metadata=raw["metadata"], outputs=()) for cell, raw in zip(cells, raws, strict=True)]


def render(cells: list[Cell]) -> bytes:
    """A notebook of these cells, always the same bytes for the same cells, without outputs."""
    document = {
        "cells": [_rendered(number, cell) for number, cell in enumerate(cells, 1)],
        "metadata": METADATA,
        "nbformat": FORMAT,
        "nbformat_minor": 5,
    }
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def is_locked(cell: Cell) -> bool:
    """Whether nbgrader's metadata forbid the learner to change the cell."""
    marks = cell.metadata.get("nbgrader", {})
    return not marks.get("solution") and bool(marks.get("grade") or marks.get("locked"))


def _json(data: bytes) -> Any:
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise NotebookError("is not UTF-8 text") from None
    except RecursionError:
        raise NotebookError(f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise NotebookError(f"is not valid JSON ({getattr(error, 'msg', error)})") from None
    if any(depth > MAX_DEPTH for depth in _depths(document)):
        raise NotebookError(f"is nested more than {MAX_DEPTH} levels deep")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _depths(document: Any) -> Iterator[int]:
    pending = [(document, 1)]
    while pending:
        node, depth = pending.pop()
        yield depth
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        pending.extend((child, depth + 1) for child in children if isinstance(child, dict | list))


def _cell(number: int, raw: Any) -> Cell:
    if not isinstance(raw, dict) or raw.get("cell_type") not in CELL_TYPES:
        raise NotebookError(f"has something that is no cell at place {number}")
    return Cell(
        cell_type=raw["cell_type"],
        source=_text(raw.get("source"), f"has no readable source in cell {number}"),
        grade_id=_grade_id(raw.get("metadata")),
        outputs=tuple(_outputs(raw.get("outputs"))) if raw["cell_type"] == "code" else (),
    )


def _text(value: Any, problem: str) -> str:
    """The text of `value`, which nbformat stores as one string or as a list of lines."""
    lines = value if isinstance(value, list) else [value]
    if not all(isinstance(line, str) for line in lines):
        raise NotebookError(problem)
    # JSON can spell a lone surrogate, which no file can hold.
    return "".join(lines).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _grade_id(metadata: Any) -> str | None:
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    value = marks.get("grade_id") if isinstance(marks, dict) else None
    return value if isinstance(value, str) and GRADE_ID.fullmatch(value) else None


def _outputs(raw: Any) -> Iterator[str]:
    for output in raw[:MAX_OUTPUTS] if isinstance(raw, list) else ():
        if not isinstance(output, dict):
            continue
        data = output.get("data")
        plain = data.get("text/plain") if isinstance(data, dict) else None
        for value in (output.get("text"), plain, output.get("traceback")):
            joiner = "\n" if value is output.get("traceback") else ""
            if isinstance(value, str | list):
                yield joiner.join(
                    line for line in ([value] if isinstance(value, str) else value) if isinstance(line, str)
                )


def _rendered(number: int, cell: Cell) -> dict[str, Any]:
    common = {"cell_type": cell.cell_type, "metadata": cell.metadata, "source": cell.source.splitlines(keepends=True)}
    identity = {"id": cell.grade_id or f"cell-{number}"}
    return common | identity | ({"execution_count": None, "outputs": []} if cell.cell_type == "code" else {})
