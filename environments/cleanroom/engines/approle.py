"""The registry's push credentials: secret ids and what lies in kv are the learner's, the role is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import httpx

from environments.baseline import approle
from environments.baseline.approle import approle_mount, credential_path, role_path
from environments.baseline.vault import Seeds
from environments.cleanroom.engines.api import listed
from environments.rehearsal import Incident

BOTH: Final = 2  # secret ids at the baseline


def document(client: httpx.Client, cloud: str) -> dict[str, Any]:
    """The roles of a cloud's AppRole in full, and how many secret ids there are: their accessors are Vault's own choice."""
    roles = listed(client, f"auth/{approle_mount(cloud)}/role")
    told = {f"auth/{approle_mount(cloud)}/role/{name}": _role(client, cloud, name) for name in roles}
    return {**told, _secret_ids(cloud): len(listed(client, f"{role_path(cloud)}/secret-id"))}


def learners(cloud: str) -> Sequence[str]:
    """How many secret ids there are, and the credential in kv."""
    return [_secret_ids(cloud), f"kv/metadata/{credential_path(cloud)}"]


def undo(client: httpx.Client, cloud: str, seeds: Seeds) -> None:
    """Bring both secret ids back, and version 1 of the credential in kv."""
    incident = seeds.incidents[cloud]
    if not _as_begun(client, cloud, incident):
        client.delete(f"/v1/sys/auth/{approle_mount(cloud)}").raise_for_status()
        approle.set_up(client, cloud, incident)
    if not _is_first(client, cloud, incident):
        client.delete(f"/v1/kv/metadata/{credential_path(cloud)}").raise_for_status()
        body = approle.credential(incident)
        client.post(f"/v1/kv/data/{credential_path(cloud)}", json=body).raise_for_status()


def _secret_ids(cloud: str) -> str:
    return f"auth/{approle_mount(cloud)}/secret-ids"


def _as_begun(client: httpx.Client, cloud: str, incident: Incident) -> bool:
    """Whether exactly the secret ids of the baseline are there."""
    role = role_path(cloud)
    known = (
        client.post(f"/v1/{role}/secret-id/lookup", json={"secret_id": secret_id}).status_code == httpx.codes.OK
        for secret_id in (incident.used, incident.leaked)
    )
    return len(listed(client, f"{role}/secret-id")) == BOTH and all(known)


def _is_first(client: httpx.Client, cloud: str, incident: Incident) -> bool:
    """Whether the credential in kv was never written, nor its metadata: those of the baseline were written once, at once."""
    about = client.get(f"/v1/kv/metadata/{credential_path(cloud)}").json().get("data") or {}
    if about.get("current_version") != 1 or about.get("created_time") != about.get("updated_time"):
        return False
    found = client.get(f"/v1/kv/data/{credential_path(cloud)}").json().get("data") or {}
    settings = (about.get("max_versions"), about.get("cas_required"), about.get("delete_version_after"))
    is_plain = settings == (0, False, "0s") and not about.get("custom_metadata")
    return is_plain and found.get("data") == approle.credential(incident)["data"]


def _role(client: httpx.Client, cloud: str, name: str) -> dict[str, Any]:
    path = f"/v1/auth/{approle_mount(cloud)}/role/{name}"
    role_id = client.get(f"{path}/role-id").raise_for_status().json()["data"]["role_id"]
    return {**client.get(path).raise_for_status().json()["data"], "role_id": role_id}
