"""Where a node image comes from: the daemon has it, the publisher's, an archive, or built here."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from environments.errors import BadInputError
from environments.kind.engine import failures
from environments.kind.nodeimage.build import build
from environments.kind.nodeimage.inputs import kubernetes, reference
from environments.paths import cache_dir
from environments.toolchain.store import flock

OVERRIDE_VARIABLE: Final = "MOD209_NODE_IMAGE"
TOOLS_VARIABLE: Final = "MOD209_TOOLS"
# What kind 0.33 itself asks for (v1.37.0, pkg/apis/config/defaults of its source): by digest, or a tag could be moved.
STOCK: Final = "kindest/node@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
PULL_SECONDS: Final = 5
Progress = Callable[[str], None]


def ensure(engine: Any, progress: Progress) -> str:
    """A node image that the daemon has; returns its name. `engine` is a `docker.DockerClient`.

    Order: `MOD209_NODE_IMAGE`; what is there already, ours or the publisher's; the publisher's, pulled; the archive
    `kind-node-<version>.tar` in the folder `MOD209_TOOLS`; built here.

    Raises:
        BadInputError: the image that `MOD209_NODE_IMAGE` names is not there.
        CourseError: it could not be built; the message says what failed.
    """
    if named := os.environ.get(OVERRIDE_VARIABLE):
        if not has(engine, named):
            raise BadInputError(
                f"Docker has no image {named}.", hint=f"Pull or build it, or unset {OVERRIDE_VARIABLE}."
            )
        return named
    if found := next((one for one in (reference(), STOCK) if has(engine, one)), None):
        return found
    waiting = partial(progress, "node image: somebody else makes it; waiting")
    with flock(cache_dir() / "node-image.lock", threading.Event(), waiting):
        if has(engine, reference()):
            return reference()
        return pulled(engine, STOCK, progress) or _loaded(engine, progress) or build(engine, progress)


def has(engine: Any, name: str) -> bool:
    """Whether the daemon has an image."""
    from docker.errors import ImageNotFound  # noqa: PLC0415 - an extra

    with failures():
        try:
            engine.images.get(name)
        except ImageNotFound:
            return False
    return True


def pulled(engine: Any, name: str, progress: Progress, what: str = "node image") -> str | None:
    """The publisher's image, unless its registry is out of reach: that is found out in a moment, a pull takes minutes."""
    import docker  # noqa: PLC0415
    from docker.errors import APIError  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415

    progress(f"{what}: asking for {name}")
    with suppress(APIError, RequestException):
        impatient = docker.from_env(timeout=PULL_SECONDS)
        try:
            impatient.images.get_registry_data(name)
        finally:
            impatient.close()
        progress(f"{what}: pulling {name}")
        engine.images.pull(name)
        return name
    return None


def _loaded(engine: Any, progress: Progress) -> str | None:
    archive = Path(os.environ.get(TOOLS_VARIABLE) or os.devnull) / f"kind-node-{kubernetes()}.tar"
    if not archive.is_file():
        return None
    progress(f"node image: loading {archive}")
    with failures(), archive.open("rb") as stream:
        [image, *_] = engine.images.load(stream)
        image.tag(reference())
    return reference()
