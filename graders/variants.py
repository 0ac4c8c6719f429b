"""Variants of a lab's reference: right in another way, broken in one named way, or hostile. Each is a real submission."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from environments.errors import BadInputError
from environments.labspec import LabSpec
from environments.yamlfile import Strict, load_yaml, read_text

Kind = Literal["reference", "alternative", "broken", "hostile"]
FOLDERS: dict[Kind, str] = {"alternative": "alternatives", "broken": "broken", "hostile": "hostile"}
MAX_NOTEBOOK = 4 << 20


class Edit(Strict):
    """Replace the one occurrence of `find` in the cell `cell` (its nbgrader id)."""

    notebook: str
    cell: str
    find: str = Field(min_length=1)
    replace: str


class VariantFile(Strict):
    """The whole of a `variant.yaml`. `cells` maps an nbgrader id to a file beside it, whose text replaces the cell's."""

    schema_: Literal[1] = Field(alias="schema")
    title: str
    why: str
    expected: list[str] = Field(default_factory=list)
    edits: list[Edit] = Field(default_factory=list)
    cells: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A variant, and the checks that it must fail."""

    name: str
    kind: Kind
    title: str
    expected: tuple[str, ...]
    file: VariantFile | None = None
    folder: Path | None = None


def load_variants(course: Path, spec: LabSpec) -> list[Variant]:
    """The reference, then all alternatives, broken and hostile variants of a lab, by name.

    Raises:
        BadInputError: a variant is not as it must be, or names a check that the lab does not have.
    """
    variants = [Variant(name="reference", kind="reference", title="The reference solution", expected=())]
    for kind, below in FOLDERS.items():
        variants += [
            _load(path, kind, spec)
            for path in sorted((course / "solutions" / spec.slug / below).glob("*/variant.yaml"))
        ]
    return variants


def write_submission(course: Path, spec: LabSpec, variant: Variant, folder: Path) -> None:
    """Write what a learner with this variant's answer would hand in: the lab's notebooks with its edits.

    Raises:
        BadInputError: an edit does not fit the reference.
    """
    sources = course / "solutions" / spec.slug / "notebooks"
    notebooks = {task.notebook: _read(sources / task.notebook) for task in spec.tasks}
    if variant.file and variant.folder:
        for edit in variant.file.edits:
            cell = _cell(variant, notebooks, edit.cell, edit.notebook)
            cell["source"] = _edited(variant, edit, _text(cell))
        for cell_id, name in variant.file.cells.items():
            _cell(variant, notebooks, cell_id)["source"] = read_text(variant.folder / name)
    folder.mkdir(parents=True)
    for name, notebook in notebooks.items():
        (folder / name).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def _load(path: Path, kind: Kind, spec: LabSpec) -> Variant:
    file = load_yaml(path, VariantFile)
    unknown = sorted(set(file.expected) - {check.id for check in spec.checks})
    if unknown:
        raise BadInputError(f"{path}: {spec.slug} has no check {', '.join(unknown)}.", hint="Correct `expected`.")
    if kind == "broken" and not file.expected:
        raise BadInputError(f"{path}: a broken variant names no check that it fails.", hint="Fill `expected`.")
    name = path.parent.name
    return Variant(name=name, kind=kind, title=file.title, expected=tuple(file.expected), file=file, folder=path.parent)


def _read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(read_text(path, MAX_NOTEBOOK))
    return notebook


def _cell(
    variant: Variant, notebooks: dict[str, dict[str, Any]], cell_id: str, notebook: str | None = None
) -> dict[str, Any]:
    for name, document in notebooks.items():
        for cell in document["cells"] if notebook in (None, name) else ():
            if cell.get("metadata", {}).get("nbgrader", {}).get("grade_id") == cell_id:
                found: dict[str, Any] = cell
                return found
    raise BadInputError(
        f"Variant {variant.name}: the reference has no cell {cell_id!r}.", hint="Correct its variant.yaml."
    )


def _edited(variant: Variant, edit: Edit, text: str) -> str:
    if text.count(edit.find) != 1:
        raise BadInputError(
            f"Variant {variant.name}: {edit.find!r} occurs {text.count(edit.find)} times in cell {edit.cell}, not once.",
            hint="The reference has changed: correct the edit in its variant.yaml.",
        )
    return text.replace(edit.find, edit.replace)


def _text(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)
