"""Who signs workloads' certificates: a PKI engine of Vault for each cloud, with a root and nothing else."""

from __future__ import annotations

import httpx

from environments.pki import Authority
from environments.platform import platform

LONGEST = "72h"  # of a lease; a careless role gives this much


def pki_mount(cloud: str) -> str:
    """Name of the engine for workloads of `cloud`."""
    return f"pki-{cloud}"


def authorities() -> dict[str, Authority]:
    """A new root for every cloud."""
    return {cloud: Authority(f"mod209 workloads of {cloud}") for cloud in platform().clouds}


def set_up(client: httpx.Client, cloud: str, root: Authority) -> None:
    """Mount the engine with its root. A root of ours can come back after a reset: certificates stay what they were."""
    mount = pki_mount(cloud)
    body = {"type": "pki", "config": {"default_lease_ttl": LONGEST, "max_lease_ttl": LONGEST}}
    client.post(f"/v1/sys/mounts/{mount}", json=body).raise_for_status()
    client.post(f"/v1/{mount}/config/ca", json={"pem_bundle": root.bundle}).raise_for_status()
