"""A node image of one's own: whether it is one, and of the right version, is found out before clusters wait for it."""

from __future__ import annotations

import io
import tarfile
from typing import Any, Final

from environments.errors import BadInputError
from environments.kind.engine import BUILDING_LABEL, failures
from environments.kind.nodeimage.inputs import kubernetes
from environments.paths import cache_dir
from environments.toolchain.catalog import architecture

VERSION_FILE: Final = "/kind/version"  # in every node image, whoever made it


def insist(engine: Any, name: str, variable: str) -> None:
    """Insist that the image `name`, which an environment variable names, is one that clusters can be made of.

    Raises:
        BadInputError: the daemon does not have it, or it is no node image, or one of another version or architecture.
        FootprintError: no daemon answers.
    """
    from docker.errors import ImageNotFound, NullResource  # noqa: PLC0415 - an extra

    with failures():
        try:
            image = engine.images.get(name)
        except (ImageNotFound, NullResource):
            raise BadInputError(
                f"Docker has no image {name}.", hint=f"Pull or build it, or unset {variable}."
            ) from None
        version = _version(engine, image)
    hint = f"Name another in {variable}, or unset it: then the right one is pulled or built."
    if version is None:
        raise BadInputError(f"{variable} is {name}, which is no node image of kind.", hint=hint)
    if _minor(version) != _minor(kubernetes()):
        raise BadInputError(
            f"{variable} is {name}, a node of Kubernetes {version}; the labs are made for {_minor(kubernetes())}.",
            hint=hint,
        )
    if (made_for := image.attrs.get("Architecture")) != architecture():
        raise BadInputError(f"{variable} is {name}, which is made for {made_for}, not {architecture()}.", hint=hint)


def _version(engine: Any, image: Any) -> str | None:
    """The version of Kubernetes in a node image; None if it is no node image. Nothing of it is run."""
    from docker.errors import NotFound  # noqa: PLC0415

    container = engine.containers.create(image.id, ["true"], labels={BUILDING_LABEL: str(cache_dir())})
    try:
        chunks, _ = container.get_archive(VERSION_FILE)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            stream = tar.extractfile(tar.next() or VERSION_FILE)
            return stream.read().decode().strip() if stream else None
    except (NotFound, KeyError):
        return None
    finally:
        container.remove(force=True)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
