"""The learner's own folder: what the course has in it to begin with, and whether anything was done in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments.errors import BadInputError, StorageError
from environments.labspec import LabSpec
from environments.yamlfile import read_text

NOTEBOOK_BYTES = 16 << 20
Cells = dict[str, str]  # nbgrader id -> source


@dataclass(frozen=True, kw_only=True)
class WorkFolder:
    """Where a learner works on one lab. Only what is missing is ever written, so that no work is lost.

    Attributes:
        path: the folder; notebooks lie in it, `policies/` and `manifests/` beside them.
        course: the course's folder, which the starter files come from.
        spec: the lab.
    """

    path: Path
    course: Path
    spec: LabSpec

    @property
    def notebooks(self) -> list[str]:
        """File names of the lab's notebooks, in the order of the tasks."""
        return list(dict.fromkeys(task.notebook for task in self.spec.tasks))

    def fill(self) -> list[str]:
        """Put in what the course has and the folder lacks; returns the names of what is new.

        Raises:
            BadInputError: the folder's place is taken by a file.
            StorageError: it cannot be written.
        """
        new = [(source, self.path / name) for name, source in self._starters() if not (self.path / name).exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for source, target in new:
                target.parent.mkdir(parents=True, exist_ok=True)
                _put(source, target)
        except (FileExistsError, NotADirectoryError):
            raise BadInputError(f"{self.path} is not a folder.", hint="Name another one with --work.") from None
        except OSError as error:
            raise StorageError(
                f"Cannot write to {self.path}: {error.strerror}.", hint="Free some space, or name another --work."
            ) from None
        return [str(target.relative_to(self.path)) for _, target in new]

    def begun(self) -> list[str]:
        """Notebooks in which the learner has changed code since the course gave them out."""
        return [name for name in self.notebooks if self._changed(name)]

    def released(self, name: str) -> Path:
        """The course's own copy of a notebook."""
        return self.course / "labs" / self.spec.slug / "notebooks" / name

    def _changed(self, name: str) -> bool:
        own, given = self.path / name, self.released(name)
        if not own.is_file():
            return False
        return _code(read_notebook(own)) != _code(read_notebook(given))

    def _starters(self) -> list[tuple[str, Path]]:
        lab = self.course / "labs" / self.spec.slug
        folders = (lab / "notebooks", lab / "starter")
        return [
            (str(path.relative_to(folder)), path)
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        ]


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as JSON has it.

    Raises:
        BadInputError: it cannot be read, or is none.
    """
    try:
        notebook = json.loads(read_text(path, NOTEBOOK_BYTES))
    except ValueError:
        notebook = None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise BadInputError(f"{path} is not a notebook.", hint="Move it away; the next start puts a new one there.")
    return notebook


def source(cell: dict[str, Any]) -> str:
    """The text of a cell, which files keep as one string or as lines."""
    text = cell.get("source", "")
    return "".join(text) if isinstance(text, list) else str(text)


def _code(notebook: dict[str, Any]) -> list[str]:
    return [source(cell) for cell in notebook["cells"] if cell.get("cell_type") == "code" and source(cell).strip()]


def _put(source_file: Path, target: Path) -> None:
    """Write the file whole or not at all, and never over one that came meanwhile."""
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(source_file.read_bytes())
    try:
        target.hardlink_to(part)
    finally:
        part.unlink()
