"""What stands in Vault before a learner begins: policies, mounts, secrets and an audit device. The same on every provider."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from environments.baseline import approle, pki
from environments.baseline.objects import HERE
from environments.pki import Authority
from environments.platform import platform
from environments.rehearsal import Incident

OPERATOR_POLICY = "mod209-operator"
JUDGE_POLICY = "mod209-judge"
WATCH_POLICY = "mod209-watch"
LEARNER_POLICY_PREFIX = "ml-"
OPERATOR_TTL = "12h"
JUDGE_TTL = "30m"
JWT_MOUNT = {"type": "jwt"}
TRANSIT_MOUNT = {"type": "transit"}
POLICIES = {
    OPERATOR_POLICY: "vault-operator.hcl",
    JUDGE_POLICY: "vault-judge.hcl",
    WATCH_POLICY: "vault-watch.hcl",
    approle.PUSH_POLICY: "vault-push.hcl",
}


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """What is drawn once for a footprint, so that every reset brings the same back: secrets by path, each cloud's root, and its incident."""

    secrets: Mapping[str, str]
    authorities: Mapping[str, Authority]
    incidents: Mapping[str, Incident]


def draw() -> Seeds:
    """New random values for everything."""
    authorities = pki.authorities()
    values = {path: secrets.token_hex(16) for path in secret_paths()}
    return Seeds(secrets=values, authorities=authorities, incidents=approle.draw(authorities))


def set_up(client: httpx.Client, audit_log: str, seeds: Seeds) -> None:
    """Bring a new Vault to the baseline. `client` carries the root token; `audit_log` is a path on Vault's machine."""
    _put(client, "sys/audit/file", {"type": "file", "options": {"file_path": audit_log, "mode": "0600"}})
    for name, file in POLICIES.items():
        _put(client, f"sys/policies/acl/{name}", {"policy": policy_text(file)})
    _put(client, "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    for cloud in platform().clouds:
        _put(client, f"sys/auth/{jwt_mount(cloud)}", JWT_MOUNT)
        _put(client, f"sys/mounts/{transit_mount(cloud)}", TRANSIT_MOUNT)
        pki.set_up(client, cloud, seeds.authorities[cloud])
        approle.set_up(client, cloud, seeds.incidents[cloud])
    bodies: dict[str, Mapping[str, object]] = {path: {"data": {"value": text}} for path, text in seeds.secrets.items()}
    bodies |= {approle.credential_path(cloud): approle.credential(one) for cloud, one in seeds.incidents.items()}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: _put(client, f"kv/data/{path}", bodies[path]), bodies))


def policy_text(file: str) -> str:
    """A policy of ours; a line with `{cloud}` stands for one line a cloud."""
    clouds = list(platform().clouds)
    lines = (HERE / file).read_text().splitlines()
    return "\n".join(
        line.replace("{cloud}", cloud) for line in lines for cloud in (clouds if "{cloud}" in line else clouds[:1])
    )


def jwt_mount(cloud: str) -> str:
    """Name of the auth mount for workloads of `cloud`."""
    return f"jwt-{cloud}"


def transit_mount(cloud: str) -> str:
    """Name of the mount with the encryption keys of `cloud`."""
    return f"transit-{cloud}"


def secret_paths() -> Iterator[str]:
    """All secrets below `kv`: each workload's own, and neighbours that a careless path would give away too."""
    for cloud in platform().clouds:
        for workload in platform().workloads:
            own = workload.secret(cloud)
            yield from (own, f"{own}-next", f"{own}/admin")


def operator_token(client: httpx.Client) -> str:
    """A new token for the learner."""
    return _new_token(client, OPERATOR_POLICY, OPERATOR_TTL)


def judge_token(client: httpx.Client) -> str:
    """A new token for the judge."""
    return _new_token(client, JUDGE_POLICY, JUDGE_TTL)


def watch_token(client: httpx.Client) -> str:
    """A new token for the watch of a rotation."""
    return _new_token(client, WATCH_POLICY, OPERATOR_TTL)


def _new_token(client: httpx.Client, policy: str, ttl: str) -> str:
    """A token of `policy`, child of nobody, that dies after `ttl` at the latest."""
    body = {"policies": [policy], "ttl": ttl, "explicit_max_ttl": ttl, "no_parent": True, "display_name": policy}
    answer = client.post("/v1/auth/token/create", json=body).raise_for_status()
    return str(answer.json()["auth"]["client_token"])


def _put(client: httpx.Client, path: str, body: Mapping[str, object]) -> None:
    """Write, and try again for a moment where a new kv mount is still being upgraded to version 2."""
    for _ in range(100):
        answer = client.post(f"/v1/{path}", json=body)
        if answer.status_code != httpx.codes.BAD_REQUEST or "Upgrading" not in answer.text:
            break
    answer.raise_for_status()
