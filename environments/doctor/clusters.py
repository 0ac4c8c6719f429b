"""What a daemon holds for clusters: a node image, and what killed footprints and builds have left on it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import httpx

from environments.doctor.finding import Finding, Machine, fine
from environments.footprint import is_running
from environments.kind.engine import BUILDING_LABEL, FOOTPRINT_LABEL
from environments.kind.nodeimage.inputs import reference
from environments.kind.nodeimage.sources import LOCK, OVERRIDE_VARIABLE, STOCK
from environments.toolchain import locate
from environments.toolchain.catalog import wanted_by
from environments.toolchain.store import flock
from environments.toolchain.tool import CancelledError

SHOWN: Final = 3


def ask(client: httpx.Client) -> dict[str, Any]:
    """What a daemon has of ours: `networks`, `building` (containers) and `images` (names)."""

    def labelled(path: str, label: str) -> Any:
        filters = json.dumps({"label": [label]})
        return client.get(path, params={"all": "true", "filters": filters}).raise_for_status().json()

    named = os.environ.get(OVERRIDE_VARIABLE)
    wanted = [named] if named else [reference(), STOCK]
    return {
        "networks": labelled("/networks", FOOTPRINT_LABEL),
        "building": labelled("/containers/json", BUILDING_LABEL),
        "images": [name for name in wanted if client.get(f"/images/{name}/json").is_success],
    }


def around(told: dict[str, Any]) -> Iterator[Finding]:
    """Node image and leftovers, of what `ask` was told."""
    named = os.environ.get(OVERRIDE_VARIABLE)
    if told["images"]:
        yield fine("kind", "node image", f"{told['images'][0]} is there.")
    elif named:
        seen, cure = f"{OVERRIDE_VARIABLE} is {named}, which Docker does not have.", "Pull or build it, or unset it."
        yield Finding(group="kind", name="node image", state="problem", seen=seen, cure=cure)
    else:
        cure = "make node (the first mod209 up with --provider kind does it too): pulled, or some 15 minutes to build."
        yield Finding(group="kind", name="node image", state="warning", seen="There is none yet.", cure=cure)
    owners = [Path(_label(one, FOOTPRINT_LABEL) or "/") for one in told["networks"]]
    if dead := [owner for owner in owners if not _owned(owner)]:
        seen = f"Clusters of {len(dead)} footprints run whose supervisor is gone: {', '.join(map(str, dead[:SHOWN]))}."
        cure = "mod209 down LAB removes that lab's; the next mod209 up with --provider kind removes all."
        yield Finding(group="kind", name="leftovers", state="warning", seen=seen, cure=cure)
    makers = {one["Id"][:12]: _label(one, BUILDING_LABEL) for one in told["building"]}  # a cluster's node names none
    left = [container for container, maker in makers.items() if maker and not _builds(Path(maker))]
    if left:
        seen = f"Killed builds of a node image have left {len(left)} containers on the daemon."
        cure = f"docker rm --force {' '.join(left)}"
        yield Finding(group="kind", name="leftovers", state="warning", seen=seen, cure=cure)


def programs(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001 - every examination takes the machine
    """What provider kind needs beside a daemon."""
    if find_spec("docker") is None:
        seen, cure = "The Python package docker is missing.", "pip install docker"
        yield Finding(group="kind", name="tools", state="problem", seen=seen, cure=cure)
    if missing := [name for name in wanted_by("kind") if name not in wanted_by("all") and locate(name) is None]:
        cure = "mod209 tools --fetch --for kind (the first mod209 up with --provider kind does it too)"
        seen = f"Not here yet: {', '.join(missing)}."
        yield Finding(group="kind", name="tools", state="warning", seen=seen, cure=cure)
    else:
        yield fine("kind", "tools", "All programs for clusters are here in the right version.")


def _label(one: dict[str, Any], label: str) -> str:
    return (one.get("Labels") or {}).get(label) or ""


def _owned(directory: Path) -> bool:
    try:
        return is_running(directory)
    except PermissionError:  # another user's
        return True


def _builds(cache: Path) -> bool:
    """Whether somebody makes a node image in a cache now."""
    if not (cache / LOCK).exists():
        return False
    busy = threading.Event()
    try:
        with flock(cache / LOCK, busy, busy.set):
            return False
    except CancelledError:
        return True
