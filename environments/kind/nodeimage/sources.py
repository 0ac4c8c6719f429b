"""Where a node image comes from: the daemon has it, the publisher's, an archive, or built here."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from environments.kind.engine import BUILDING_LABEL, failures
from environments.kind.nodeimage.archive import load
from environments.kind.nodeimage.build import SCRATCH, build
from environments.kind.nodeimage.inputs import reference
from environments.kind.nodeimage.named import insist
from environments.paths import cache_dir
from environments.toolchain.store import flock

OVERRIDE_VARIABLE: Final = "MOD209_NODE_IMAGE"
LOCK: Final = "node-image.lock"  # in the cache
# What kind of this version itself asks for (v1.37.0; pkg/apis/config/defaults of its source): by digest, or a tag could be
# moved. Nothing here takes its Kubernetes for ours: only the minor version is the same.
STOCK_OF_KIND: Final = "0.33.0"
STOCK: Final = "kindest/node@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
PULL_SECONDS: Final = 5
Progress = Callable[[str], None]


def ensure(engine: Any, progress: Progress) -> str:
    """A node image that the daemon has; returns its name. `engine` is a `docker.DockerClient`.

    Order: `MOD209_NODE_IMAGE`; what is there already, ours or the publisher's; the publisher's, pulled; the archive
    `kind-node-<version>.tar` in the folder `MOD209_TOOLS`; built here.

    Raises:
        BadInputError: the image that `MOD209_NODE_IMAGE` names, or the archive, cannot be used.
        CourseError: it could not be built; the message says what failed.
    """
    if name := os.environ.get(OVERRIDE_VARIABLE):
        insist(engine, name, OVERRIDE_VARIABLE)
        return name
    if found := next((one for one in (reference(), STOCK) if has(engine, one)), None):
        return found
    waiting = partial(progress, "node image: somebody else makes it; waiting")
    with flock(cache_dir() / LOCK, threading.Event(), waiting):
        if has(engine, reference()):
            return reference()
        _sweep(engine)
        return pulled(engine, STOCK, progress) or load(engine, progress) or build(engine, progress)


def has(engine: Any, name: str) -> bool:
    """Whether the daemon has an image."""
    from docker.errors import ImageNotFound  # noqa: PLC0415 - an extra

    with failures():
        try:
            engine.images.get(name)
        except ImageNotFound:
            return False
    return True


def _sweep(engine: Any) -> None:
    """Remove what killed builds have left. Only the holder of this cache's lock builds in it, so all of it is theirs."""
    with failures():
        for container in engine.containers.list(
            all=True, filters={"label": f"{BUILDING_LABEL}={cache_dir()}"}, ignore_removed=True
        ):
            container.remove(force=True, v=True)
    for folder in cache_dir().glob(f"mod209-{SCRATCH}-*"):
        shutil.rmtree(folder, ignore_errors=True)


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
