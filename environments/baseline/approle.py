"""The credential that pushes models to a cloud's registry: an AppRole of Vault with two secret ids, one of which has leaked.

Nobody rotates it before learners do. Values are drawn once for a footprint, so that every reset brings the same back.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import httpx

from environments.pki import Authority
from environments.platform import platform
from environments.rehearsal import Incident, Signed

MOUNT: Final = {"type": "approle"}
# Vault would refuse even the right credential for a quarter of an hour after five wrong ones, and self-checks try wrong ones.
NO_LOCKOUT: Final = {"user_lockout_config": {"lockout_disable": True}}
ROLE: Final = "model-push"
PUSH_POLICY: Final = "mod209-push"
JOBS: Final = ("push-nightly", "push-release", "push-canary")
# What a login gives can do next to nothing, and soon nothing: the credential itself is what is looked at.
ROLE_BODY: Final[Mapping[str, Any]] = {
    "token_type": "batch",
    "token_ttl": "60s",
    "token_max_ttl": "60s",
    "token_policies": [PUSH_POLICY],
    "token_no_default_policy": True,
}


def approle_mount(cloud: str) -> str:
    """Name of the auth mount for what pushes to the registry of `cloud`."""
    return f"approle-{cloud}"


def role_path(cloud: str) -> str:
    """Vault's path of the role."""
    return f"auth/{approle_mount(cloud)}/role/{ROLE}"


def credential_path(cloud: str) -> str:
    """Where the credential in use lies below `kv`."""
    return f"{cloud}/registry/push-credential"


def draw(authorities: Mapping[str, Authority]) -> dict[str, Incident]:
    """New credentials and certificates for every cloud, and which of them leaked."""
    return {cloud: _incident(cloud, authorities[cloud]) for cloud in platform().clouds}


def set_up(client: httpx.Client, cloud: str, incident: Incident) -> None:
    """Mount the cloud's AppRole with its role and both secret ids."""
    _post(client, f"sys/auth/{approle_mount(cloud)}", MOUNT)
    _post(client, f"sys/auth/{approle_mount(cloud)}/tune", NO_LOCKOUT)
    role = role_path(cloud)
    _post(client, role, ROLE_BODY)
    _post(client, f"{role}/role-id", {"role_id": incident.role_id})
    for secret_id in (incident.used, incident.leaked):
        _post(client, f"{role}/custom-secret-id", {"secret_id": secret_id})


def credential(incident: Incident) -> dict[str, Any]:
    """The body that writes the credential in use to kv."""
    return {"data": {"role_id": incident.role_id, "secret_id": incident.used}}


def fingerprint(cert: str) -> str:
    """SHA-256 of a certificate (PEM) as hex."""
    return sha256(ssl.PEM_cert_to_DER_cert(cert)).hexdigest()


def _incident(cloud: str, root: Authority) -> Incident:
    pairs = [root.client(f"{job}.registry.{cloud}.mod209.example") for job in JOBS]
    return Incident(
        role_id=f"{ROLE}-{secrets.token_hex(8)}",
        used=secrets.token_hex(20),
        leaked=secrets.token_hex(20),
        certificates=[Signed(cert=pair.cert, key=pair.key) for pair in pairs],
        fingerprint=fingerprint(secrets.choice(pairs).cert),
    )


def _post(client: httpx.Client, path: str, body: Mapping[str, Any]) -> None:
    client.post(f"/v1/{path}", json=body).raise_for_status()
