"""Reading Vault with the root token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx


def data(client: httpx.Client, path: str) -> Any:
    """What is at `path`; None if nothing is, or it is not configured yet."""
    answer = client.get(f"/v1/{path}")
    if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST):  # a jwt mount not configured says either
        return None
    return answer.raise_for_status().json().get("data")


def listed(client: httpx.Client, path: str) -> list[str]:
    """The names below `path`; none if there is nothing."""
    answer = client.request("LIST", f"/v1/{path}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    keys: list[str] = answer.raise_for_status().json()["data"]["keys"]
    return keys


def contents(client: httpx.Client, folders: Iterable[str]) -> dict[str, Any]:
    """By path, what is at every name below each of `folders`."""
    paths = [f"{folder}/{name}" for folder in folders for name in listed(client, folder)]
    return {path: data(client, path) for path in paths}
