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
    """Whether all pods that a cluster's workloads wish for are there, and every pod of it runs and is ready.

    `but` for the static pod of that server; some must be there.
    """
    try:
        pods = _items(keeper, "/api/v1/pods")
        # On a busy machine controllers begin late, and static pods are ready before any of the others is even made.
        wishes = [
            _fulfilled(one) for kind in ("deployments", "daemonsets") for one in _items(keeper, f"/apis/apps/v1/{kind}")
        ]
    except httpx.HTTPError:
        return False
    counted = [pod for pod in pods if pod["metadata"].get("labels", {}).get(SERVER_LABEL) != but]
    conditions = [
        {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", ())}.get("Ready")
        for pod in counted
    ]
    return bool(counted) and all(wishes) and all(ready == "True" for ready in conditions)


def _fulfilled(workload: dict[str, Any]) -> bool:
    """Whether its controller has seen a Deployment or DaemonSet as it is now, and all its pods are ready."""
    status = workload.get("status", {})
    wanted = status.get("desiredNumberScheduled", workload["spec"].get("replicas"))
    ready = status.get("numberReady", status.get("readyReplicas", 0))
    return bool(status.get("observedGeneration", 0) >= workload["metadata"]["generation"] and ready == wanted)


def _items(keeper: httpx.Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = keeper.get(path).raise_for_status().json()["items"]
    return found
