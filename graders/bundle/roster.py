"""The class as a CSV file: a header line with a column `id`, then one learner a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from environments.errors import BadInputError
from environments.params import check_learner_id
from environments.yamlfile import read_text

COLUMN: Final = "id"
_HINT: Final = "Give a CSV file in UTF-8 with commas, whose first line names its columns, one of them `id`."


def read_roster(path: Path) -> list[str]:
    """The learners' ids, in the file's order. Other columns are not looked at.

    Raises:
        BadInputError: the file is not such a file, or ids are bad or given twice; all problems are named with their line.
    """
    rows = _rows(path)
    column = _column(path, next(rows, None))
    lines: dict[str, int] = {}  # ids as some file systems see them, for which `Ada` and `ada` are one name
    learners: list[str] = []
    problems: list[str] = []
    for number, row in rows:
        learner = row[column].strip() if column < len(row) else ""
        if problem := _problem(learner, number, lines):
            problems.append(f"{path}:{number}: {problem}")
        else:
            learners.append(learner)
    if not learners and not problems:
        problems.append(f"{path}: there is no learner in it.")
    if problems:
        raise BadInputError("\n".join(problems), hint="Mend the lines named; nothing has been written.")
    return learners


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every row that is not empty."""
    text = read_text(path).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for row in reader:
            if row:
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadInputError(f"{path}:{begins}: this is no CSV: {error}.", hint=_HINT) from None


def _column(path: Path, first: tuple[int, list[str]] | None) -> int:
    names = [name.strip().lower() for name in first[1]] if first else []
    if names.count(COLUMN) != 1:
        said = ", ".join(names)[:200] or "nothing"
        raise BadInputError(f"{path}:1: there must be one column `{COLUMN}`; the first line names {said}.", hint=_HINT)
    return names.index(COLUMN)


def _problem(learner: str, number: int, lines: dict[str, int]) -> str | None:
    if not learner:
        return f"this line has no `{COLUMN}`."
    try:
        check_learner_id(learner)
    except BadInputError as error:
        return f"{error.message} {error.hint}"
    if (before := lines.setdefault(learner.casefold(), number)) != number:
        return f"{learner} is in line {before} already."
    return None
