"""What a notebook gains from `open_lab`: the magic `%%artifact`, and errors in plain words instead of tracebacks."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from environments.errors import BadInputError, CourseError
from environments.lab.apply import FOLDERS
from environments.lab.lint import refuse
from environments.yamlfile import read_text

if TYPE_CHECKING:
    from environments.lab.api import Lab

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def register(lab: Lab) -> None:
    """Give the running IPython the magic `%%artifact` and the display of `CourseError`; nothing where none runs."""
    shell: Any = get_ipython()
    if shell is None:
        return

    def artifact(line: str, cell: str) -> None:
        """%%artifact policies/admission.rego: write the cell to that file and lint it."""
        write_artifact(lab, line.strip(), cell)

    shell.register_magic_function(artifact, magic_kind="cell", magic_name="artifact")
    shell.set_custom_exc((CourseError,), _show)


def write_artifact(lab: Lab, name: str, text: str) -> None:
    """Write `text` to the file `name` below `policies/` or `manifests/`, then lint it; the file stays either way.

    Raises:
        BadInputError: the name is not allowed, or the file has errors.
    """
    path = artifact_path(lab.root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    refuse(lab.lint(_neighbours(lab.root, path) | {name: text}))
    print(f"{name}: written, {len(text.splitlines())} lines, no errors. lab.apply() brings it into force.")


def _neighbours(root: Path, path: Path) -> dict[str, str]:
    """The other Rego files beside a Rego file: modules need each other to compile."""
    others = path.parent.glob("*.rego") if path.suffix == ".rego" else ()
    return {str(other.relative_to(root)): read_text(other) for other in others if other != path}


def artifact_path(root: Path, name: str) -> Path:
    """Where the artifact `name` is kept.

    Raises:
        BadInputError: it is not a file of a kind that the lab takes, directly below `policies/` or `manifests/`.
    """
    pure = PurePosixPath(name)
    if pure.suffix not in FOLDERS.get(str(pure.parent), ()) or not FILE_NAME.fullmatch(pure.name):
        raise BadInputError(
            f"%%artifact cannot write {name!r}.",
            hint="Name a file like policies/admission.rego, policies/aws-serving-predictor.hcl or manifests/x.yaml.",
        )
    return root / pure


def _show(_shell: Any, _type: type[BaseException], error: CourseError, *_: object, **__: object) -> list[str]:
    lines = [error.message, f"→ {error.hint}"]
    print("\n".join(lines), file=sys.stderr)
    return lines
