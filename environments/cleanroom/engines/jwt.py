"""The mounts by which workloads log in: their configuration and roles are the learner's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from environments.baseline.vault import JWT_MOUNT, Seeds, jwt_mount
from environments.cleanroom.engines.api import contents, data, listed


def document(client: httpx.Client, cloud: str) -> dict[str, Any]:
    """Configuration and roles."""
    config = f"auth/{jwt_mount(cloud)}/config"
    return {config: data(client, config), **contents(client, [f"auth/{jwt_mount(cloud)}/role"])}


def learners(cloud: str) -> Sequence[str]:
    """All of it."""
    return [f"auth/{jwt_mount(cloud)}/"]


def undo(client: httpx.Client, cloud: str, seeds: Seeds) -> None:  # noqa: ARG001  a mount begins empty
    """Mount it anew if anything was written."""
    mount = jwt_mount(cloud)
    if data(client, f"auth/{mount}/config") or listed(client, f"auth/{mount}/role"):
        client.delete(f"/v1/sys/auth/{mount}")
        client.post(f"/v1/sys/auth/{mount}", json=JWT_MOUNT)
