"""How servers inside of nodes are: whether they answer, and whether pods are ready."""

from __future__ import annotations

from typing import Any, Final

import httpx

SERVER_LABEL: Final = "mod209.io/server"


def answering(answers: bool) -> dict[str, Any]:
    """What `status` says of a server inside of a node: its memory and process are the node's."""
    return {"pid": 0, "state": "running" if answers else "does not answer", "rss_bytes": 0}


def is_new(vault: httpx.Client) -> bool:
    """Whether a Vault answers that nobody has initialised."""
    try:
        return vault.get("/v1/sys/init").json().get("initialized") is False
    except (httpx.HTTPError, ValueError):
        return False


def pods_ready(keeper: httpx.Client, but: str) -> bool:
    """Whether every pod of a cluster runs and is ready, `but` for the static pod of that server; some must be there."""
    try:
        pods = keeper.get("/api/v1/pods").raise_for_status().json()["items"]
    except httpx.HTTPError:
        return False
    counted = [pod for pod in pods if pod["metadata"].get("labels", {}).get(SERVER_LABEL) != but]
    conditions = [
        {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", ())}.get("Ready")
        for pod in counted
    ]
    return bool(counted) and all(ready == "True" for ready in conditions)
