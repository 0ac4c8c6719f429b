"""Variants of a lab's reference: right in another way, broken in one named way, or hostile. Each is a real submission."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from environments.errors import BadInputError
from environments.labspec import LabSpec, PolicyEngine
from environments.params import LEARNER_ID
from environments.yamlfile import Strict, load_yaml, read_text

Kind = Literal["reference", "alternative", "broken", "hostile"]
FOLDERS: dict[Kind, str] = {"alternative": "alternatives", "broken": "broken", "hostile": "hostile"}
MAX_NOTEBOOK = 4 << 20
Notebook = dict[str, Any]  # the document as JSON has it


class Edit(Strict):
    """Replace the one occurrence of `find` in the cell `cell` (its nbgrader id)."""

    notebook: str
    cell: str
    find: str = Field(min_length=1)
    replace: str


class VariantFile(Strict):
    """The whole of a `variant.yaml`. `cells` maps an nbgrader id to a file beside it, whose text replaces the cell's.

    `engine` is the policy engine that it is an answer for; only provider kind has one.
    """

    schema_: Literal[1] = Field(alias="schema")
    title: str
    why: str
    expected: list[str] = Field(default_factory=list)
    engine: PolicyEngine = ""
    edits: list[Edit] = Field(default_factory=list)
    cells: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A variant, and the checks that it must fail."""

    name: str
    kind: Kind
    title: str
    expected: tuple[str, ...]
    engine: PolicyEngine = ""
    file: VariantFile | None = None
    folder: Path | None = None


def load_variants(course: Path, spec: LabSpec) -> list[Variant]:
    """The reference, then all alternatives, broken and hostile variants of a lab, by name.

    Raises:
        BadInputError: variants are not as they must be; all problems are listed, each with file and line.
    """
    variants = [Variant(name="reference", kind="reference", title="The reference solution", expected=())]
    problems: list[str] = []
    for kind, below in FOLDERS.items():
        for path in sorted((course / "solutions" / spec.slug / below).glob("*/variant.yaml")):
            file = _file(path, problems)
            if file:
                problems += _problems(path, kind, file, spec, {variant.name for variant in variants})
                variants.append(_variant(path, kind, file))
    _raise(problems)
    return variants


def write_submission(course: Path, spec: LabSpec, variants: Iterable[Variant], folder: Path) -> None:
    """Write what a learner with these variants' answers would hand in: the lab's notebooks with the edits of all.

    Raises:
        BadInputError: edits do not fit the reference; all are listed, each with file and line.
    """
    sources = course / "solutions" / spec.slug / "notebooks"
    notebooks = {task.notebook: _read(sources / task.notebook) for task in spec.tasks}
    for variant in variants:
        if variant.file and variant.folder:
            _raise(_apply(variant.file, variant.folder, notebooks))
    folder.mkdir(parents=True)
    for name, notebook in notebooks.items():
        (folder / name).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def _file(path: Path, problems: list[str]) -> VariantFile | None:
    try:
        return load_yaml(path, VariantFile)
    except BadInputError as error:
        problems.append(error.message)
        return None


def _variant(path: Path, kind: Kind, file: VariantFile) -> Variant:
    name, expected = path.parent.name, tuple(file.expected)
    return Variant(
        name=name,
        kind=kind,
        title=file.title,
        expected=expected,
        engine=file.engine,
        file=file,
        folder=path.parent,
    )


def _problems(path: Path, kind: Kind, file: VariantFile, spec: LabSpec, names: set[str]) -> list[str]:
    """What is wrong with a variant beside its form; a line of a problem begins with file and line."""
    known = {check.id for check in spec.checks}
    said = [
        f"{_where(path, check)}: {spec.slug} has no check {check}." for check in file.expected if check not in known
    ]
    if (kind == "alternative" and file.expected) or (kind == "broken" and not file.expected):
        said.append(f"{_where(path, 'expected:')}: an alternative fails no check, and a broken variant at least one.")
    if path.parent.name in names or not LEARNER_ID.fullmatch(path.parent.name):
        said.append(f"{_where(path)}: the folder's name {path.parent.name!r} is taken, or cannot be a learner's id.")
    return said


def _raise(problems: list[str]) -> None:
    if problems:
        raise BadInputError("\n".join(problems), hint="Correct the variants, or the lab if that is what changed.")


def _where(path: Path, text: str = "") -> str:
    """`file:line` of the first line that holds `text`."""
    lines = read_text(path).splitlines()
    return f"{path}:{next((number for number, line in enumerate(lines, 1) if text in line), 1)}"


def _read(path: Path) -> Notebook:
    notebook: Notebook = json.loads(read_text(path, MAX_NOTEBOOK))
    return notebook


def _apply(file: VariantFile, folder: Path, notebooks: dict[str, Notebook]) -> list[str]:
    """Put cells into the notebooks, then make the edits; returns what does not fit."""
    path, problems = folder / "variant.yaml", []
    for cell_id, name in file.cells.items():
        if cell := _cell(notebooks, cell_id):
            cell["source"] = read_text(folder / name)
        else:
            problems.append(f"{_where(path, cell_id)}: {cell_id}: the reference has no such cell.")
    for edit in file.edits:
        cell = _cell({edit.notebook: notebooks.get(edit.notebook, {})}, edit.cell)
        times = _text(cell).count(edit.find)
        if times == 1:
            cell["source"] = _text(cell).replace(edit.find, edit.replace)
        else:
            said = f"`find` occurs {times} times in the cell, not once" if cell else "the reference has no such cell"
            problems.append(f"{_where(path, edit.cell)}: {edit.notebook}, {edit.cell}: {said}.")
    return problems


def _cell(notebooks: dict[str, Notebook], cell_id: str) -> dict[str, Any]:
    """The cell with this nbgrader id; empty if there is none."""
    cells: list[dict[str, Any]] = [cell for document in notebooks.values() for cell in document.get("cells", ())]
    marked = (cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade_id") == cell_id)
    return next(marked, {})


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)
