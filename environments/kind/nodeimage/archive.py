"""A node image from an archive that somebody made elsewhere with `docker save`: looked into before Docker gets it."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from environments.errors import BadInputError
from environments.kind.engine import failures
from environments.kind.nodeimage.inputs import INPUTS_LABEL, digest, kubernetes, reference

TOOLS_VARIABLE: Final = "MOD209_TOOLS"
JSON_BYTES: Final = 1 << 20
Progress = Callable[[str], None]


def load(engine: Any, progress: Progress) -> str | None:
    """The image of `kind-node-<version>.tar` in the folder `MOD209_TOOLS`; None if there is none.

    Raises:
        BadInputError: it is no archive of an image, or one of another recipe than this course's.
        FootprintError: the daemon did not take it.
        StorageError: the daemon's disk is full.
    """
    archive = Path(os.environ.get(TOOLS_VARIABLE) or os.devnull) / f"kind-node-{kubernetes()}.tar"
    if not archive.is_file():
        return None
    if digest() not in _recipes(archive):
        raise BadInputError(
            f"{archive} holds no node image of this version of the course.",
            hint=f"Where there is one: docker save {reference()} > {archive.name}. "
            "Or take the archive away, then the image is built here.",
        )
    progress(f"node image: loading {archive}")
    with failures(f"Docker does not take {archive}"):
        with archive.open("rb") as stream:
            loaded = engine.images.load(stream)
        for image in loaded:
            if image.labels.get(INPUTS_LABEL) == digest():
                image.tag(reference())
                return reference()
    raise _broken(archive)


def _recipes(archive: Path) -> list[str]:
    """The recipes of the images in an archive, as their labels name them."""
    try:
        with tarfile.open(archive) as tar:
            configs = [_json(tar, str(one["Config"])) for one in _json(tar, "manifest.json")]
            return [(config.get("config", {}).get("Labels") or {}).get(INPUTS_LABEL, "") for config in configs]
    except (tarfile.TarError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError):
        raise _broken(archive) from None


def _json(tar: tarfile.TarFile, name: str) -> Any:
    stream = tar.extractfile(name)
    if stream is None:
        raise ValueError(name)
    return json.loads(stream.read(JSON_BYTES))


def _broken(archive: Path) -> BadInputError:
    return BadInputError(
        f"{archive} is no whole archive of an image.",
        hint="Copy it anew, or take it away, then the node image is built here.",
    )
