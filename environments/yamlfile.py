"""Load a YAML file into a pydantic model, and report every problem of it at once, each with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from environments.errors import BadInputError

MAX_BYTES = 1 << 20  # no YAML file of the course comes near; a larger one is a mistake or an attack


class Strict(BaseModel):
    """Base of every model read from a file: unknown keys refused, values never changed after load."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Read `path` as one YAML document of the shape `model`.

    Raises:
        BadInputError: the file is missing, too large, not YAML, or not of that shape; all problems are listed.
    """
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise BadInputError(f"{path}{line}: {problem}", hint="Mend the YAML at that line.") from None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = "\n".join(
            f"  {path}:{_line(node, e['loc'])}: {_dotted(e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise BadInputError(
            f"{path} is not a valid {model.__name__}:\n{problems}", hint="Mend the lines named."
        ) from None


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """The UTF-8 text of a regular file of at most `limit` bytes.

    Raises:
        BadInputError: missing, unreadable, too large or not text.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise BadInputError(
            f"Cannot read {path}: {error.strerror}.", hint="Check the path and its permissions."
        ) from None
    if len(data) > limit:
        raise BadInputError(
            f"{path} is larger than {limit} bytes.", hint="Hand in text files only, without data in them."
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadInputError(f"{path} is not UTF-8 text.", hint="Save the file as UTF-8 text.") from None


def _line(node: yaml.Node | None, loc: tuple[int | str, ...]) -> int:
    """The 1-based line of the deepest node on the way `loc` that the document has."""
    line = node.start_mark.line + 1 if node else 1
    for step in loc:
        child = _child(node, step)
        if child is None:
            break
        node, line = child[1], child[0].start_mark.line + 1
    return line


def _child(node: Any, step: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in loc) or "document"
