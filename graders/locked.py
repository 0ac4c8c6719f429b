"""Put a lab's own cells back into a learner's notebook, as they were released."""

from __future__ import annotations

from dataclasses import replace

from environments.handin.notebook import Cell, NotebookError, is_locked


def restore(release: list[Cell], learners: list[Cell]) -> tuple[list[Cell], list[str]]:
    """The learner's cells with every cell of the lab once and the locked ones as released; and what was changed.

    The learner's order, answers and own cells stay. A missing cell comes back right after the one that it followed.

    Raises:
        NotebookError: not one cell of the lab is in it.
    """
    ours = {cell.grade_id: cell for cell in release if cell.grade_id}
    if not any(cell.grade_id in ours for cell in learners):
        raise NotebookError("has none of the lab's cells; start from the lab's own notebook")
    notes: list[str] = []
    kept = _kept(ours, learners, notes)
    _put_back_missing(list(ours.values()), kept, notes)
    return kept, notes


def _kept(ours: dict[str, Cell], learners: list[Cell], notes: list[str]) -> list[Cell]:
    kept: list[Cell] = []
    seen: set[str] = set()
    for cell in learners:
        original = ours.get(cell.grade_id or "")
        if original is None or original.grade_id is None:
            kept.append(_ordinary(cell))
        elif original.grade_id not in seen:
            seen.add(original.grade_id)
            kept.append(_as_released(original, cell, notes))
        elif is_locked(original):
            notes.append(f"A copy of the locked cell {original.grade_id} was left out.")
        else:
            notes.append(f"A copy of the cell {original.grade_id} counts as a cell of your own.")
            kept.append(_ordinary(cell))
    return kept


def _as_released(original: Cell, cell: Cell, notes: list[str]) -> Cell:
    name = original.grade_id
    if not is_locked(original):
        if cell.cell_type != original.cell_type:
            notes.append(f"The cell {name} was turned back into a {original.cell_type} cell.")
        return replace(original, source=cell.source)
    if (cell.source, cell.cell_type) != (original.source, original.cell_type):
        notes.append(f"The locked cell {name} was changed; the lab's own was put back.")
    return original


def _ordinary(cell: Cell) -> Cell:
    return Cell(cell_type=cell.cell_type, source=cell.source)


def _put_back_missing(release: list[Cell], kept: list[Cell], notes: list[str]) -> None:
    before: str | None = None
    for original in release:
        places = {cell.grade_id: place for place, cell in enumerate(kept) if cell.grade_id}
        if original.grade_id not in places:
            kept.insert(places[before] + 1 if before else 0, original)
            what = "locked cell" if is_locked(original) else "answer cell"
            notes.append(f"The {what} {original.grade_id} was missing; it was put back as released.")
        before = original.grade_id
