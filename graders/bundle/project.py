"""What the course's `pyproject.toml` and `requirements.lock` say about a learner's install."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from environments.errors import BadInputError
from environments.yamlfile import read_text

EXTRA: Final = "lab"  # JupyterLab and widgets
MAX_LOCK_BYTES: Final = 8 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HINT = "Run from the course's folder, in a whole copy of it."


@dataclass(frozen=True, kw_only=True)
class Project:
    """Version, the Python needed, what `environments` with its extra needs, and patterns of its data files."""

    version: str
    python: str
    dependencies: tuple[str, ...]
    data: tuple[str, ...]


def read_project(course: Path) -> Project:
    """The facts in `pyproject.toml`.

    Raises:
        BadInputError: it cannot be read, or lacks one of them.
    """
    path = course / "pyproject.toml"
    try:
        document: dict[str, Any] = tomllib.loads(read_text(path))
        project = document["project"]
        extra = project["optional-dependencies"][EXTRA]
        data = document["tool"]["setuptools"]["package-data"]["*"]
        return Project(
            version=project["version"],
            python=project["requires-python"],
            dependencies=(*project["dependencies"], *extra),
            data=tuple(data),
        )
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise BadInputError(f"{path} is not as the course's: {error}.", hint=_HINT) from None


def locked(course: Path, dependencies: tuple[str, ...]) -> str:
    """The blocks of `requirements.lock`, with their hashes, that `dependencies` and all that they need are in.

    Each block says by whom its package is needed (`# via`); that is followed from the top.

    Raises:
        BadInputError: the lock cannot be read, or lacks a dependency.
    """
    path = course / "requirements.lock"
    blocks = dict(_blocks(read_text(path, MAX_LOCK_BYTES)))
    wanted = {_name(one) for one in dependencies}
    if missing := sorted(wanted - blocks.keys()):
        raise BadInputError(f"{path} does not hold {', '.join(missing)}.", hint="Run: make lock")
    while found := {name for name, block in blocks.items() if name not in wanted and wanted & set(_via(block))}:
        wanted |= found
    return "".join(_without_comments(blocks[name]) for name in sorted(wanted))


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    block: list[str] = []
    for line in text.splitlines():
        if line and not line[0].isspace() and line[0] != "#":
            if block:
                yield _name(block[0]), block
            block = []
        if block or (line and line[0] != "#"):
            block.append(line)
    if block:
        yield _name(block[0]), block


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    if match is None:
        raise BadInputError(f"{requirement[:80]!r} names no package.", hint="Run: make lock")
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _via(block: list[str]) -> Iterator[str]:
    comments = (line.strip().lstrip("# ").removeprefix("via").strip() for line in block if line.strip().startswith("#"))
    yield from (comment.split()[0] for comment in comments if comment)


def _without_comments(block: list[str]) -> str:
    return "".join(f"{line}\n" for line in block if not line.strip().startswith("#"))
