"""The mounts with encryption keys: the keys are the learner's, what holds for all keys is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import httpx

from environments.baseline.vault import TRANSIT_MOUNT, Seeds, transit_mount
from environments.cleanroom.engines.api import contents, data, listed

SETTINGS: Final = ("config/keys", "cache-config")


def document(client: httpx.Client, cloud: str) -> dict[str, Any]:
    """Every key's configuration and versions, and the mount's settings."""
    mount = transit_mount(cloud)
    told = {f"{mount}/{path}": data(client, f"{mount}/{path}") for path in SETTINGS}
    return {**told, **contents(client, [f"{mount}/keys"])}


def learners(cloud: str) -> Sequence[str]:
    """The keys."""
    return [f"{transit_mount(cloud)}/keys/"]


def undo(client: httpx.Client, cloud: str, seeds: Seeds) -> None:  # noqa: ARG001  a mount begins empty
    """Mount it anew if there is a key. One may say that it cannot be deleted; with its mount it goes all the same."""
    mount = transit_mount(cloud)
    if listed(client, f"{mount}/keys"):
        client.delete(f"/v1/sys/mounts/{mount}")
        client.post(f"/v1/sys/mounts/{mount}", json=TRANSIT_MOUNT)
