"""The authorities of workloads' certificates: roles and certificates are the learner's, the roots and all settings are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import httpx

from environments.baseline.pki import pki_mount, set_up
from environments.baseline.vault import Seeds
from environments.cleanroom.engines.api import contents, data, listed

SETTINGS: Final = ("config/urls", "config/crl", "config/cluster", "config/acme", "config/auto-tidy")
LISTS: Final = ("certs", "certs/revoked")
MADE_UP: Final = ("issuer_id", "key_id")  # names that Vault draws


def document(client: httpx.Client, cloud: str) -> dict[str, Any]:
    """Roles, serial numbers of what was issued and revoked, settings, and who signs."""
    mount = pki_mount(cloud)
    told = {f"{mount}/{path}": data(client, f"{mount}/{path}") for path in SETTINGS}
    told |= {f"{mount}/{path}": sorted(listed(client, f"{mount}/{path}")) for path in LISTS}
    return {**told, f"{mount}/ca": _root(client, mount), **contents(client, [f"{mount}/roles"])}


def learners(cloud: str) -> Sequence[str]:
    """Roles and certificates."""
    return [f"{pki_mount(cloud)}/{part}" for part in ("roles/", *LISTS)]


def undo(client: httpx.Client, cloud: str, seeds: Seeds) -> None:
    """Mount it anew, with the same root, if there are roles or certificates."""
    mount = pki_mount(cloud)
    if any(listed(client, f"{mount}/{part}") for part in ("roles", *LISTS)):
        client.delete(f"/v1/sys/mounts/{mount}").raise_for_status()
        set_up(client, cloud, seeds.authorities[cloud])


def _root(client: httpx.Client, mount: str) -> dict[str, Any]:
    told = [data(client, f"{mount}/issuer/{issuer}") or {} for issuer in listed(client, f"{mount}/issuers")]
    issuers = [{key: value for key, value in one.items() if key not in MADE_UP} for one in told]
    return {"default": (data(client, f"{mount}/cert/ca") or {}).get("certificate"), "issuers": issuers}
