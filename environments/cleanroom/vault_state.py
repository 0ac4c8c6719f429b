"""Vault's state as one canonical document, for comparing with the baseline; and how a learner's work is undone."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from environments.baseline.vault import LEARNER_POLICY_PREFIX, Seeds
from environments.cleanroom.engines import ENGINES, Engine
from environments.cleanroom.engines.api import contents, data, listed
from environments.platform import platform

Document = dict[str, Any]
Known = dict[str, tuple[str, Document]]  # path of a secret -> its metadata as text, and what is said of it
THREADS = 4
# A policy that may do everything reaches these too, and what is changed in them outlives every token.
SETTINGS = (
    "kv/config",
    "sys/config/cors",
    "sys/config/auditing/request-headers",
    "sys/quotas/config",
    "sys/rotate/config",
)
FOLDERS = (
    "sys/policies/acl",
    "sys/policies/password",
    "sys/quotas/rate-limit",
    "sys/config/ui/headers",
    "auth/token/roles",
    "identity/group/id",
    "identity/group-alias/id",
    "identity/mfa/method",
    "identity/mfa/login-enforcement",
    *(f"identity/oidc/{kind}" for kind in ("key", "role", "client", "assignment", "provider", "scope")),
)
KEPT = ("max_versions", "cas_required", "delete_version_after", "custom_metadata")  # how a secret's versions are kept


def dump(client: httpx.Client, known: Known) -> Document:
    """Everything that matters, path to content: mounts, policies, audit devices, auth configuration, secrets, identities, tokens.

    Secret values appear as SHA-256 only. `client` carries the root token, whose own accessor is left out. `known` is what
    earlier dumps have read: a version of a secret never changes, so one whose metadata is the same is not read again.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        document: Document = {path: _mounts(client, path) for path in ("sys/mounts", "sys/auth", "sys/audit")}
        document |= dict(zip(SETTINGS, pool.map(lambda path: data(client, path), SETTINGS), strict=True))
        for told in pool.map(lambda folder: contents(client, [folder]), FOLDERS):
            document |= told
        for told in pool.map(lambda place: place[0].document(client, place[1]), _engines()):
            document |= told
        document["sys/key-status"] = data(client, "sys/key-status")["term"]
        document["identity/entity"] = sorted(listed(client, "identity/entity/id"))
        document["auth/token/accessors"] = sorted(set(listed(client, "auth/token/accessors")) - {_own_accessor(client)})
        document |= _secrets(pool, client, known)
    return document


def digest(document: Document) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def differences(baseline: Document, now: Document, *, learner_may_change: bool) -> list[str]:
    """Paths that differ. With `learner_may_change`, what is the learner's to change does not count."""
    paths = sorted(path for path in baseline.keys() | now.keys() if baseline.get(path) != now.get(path))
    return [path for path in paths if not (learner_may_change and _is_learners(path))]


def undo(client: httpx.Client, seeds: Seeds) -> None:
    """Undo all that learners may do: their policies, what they have put into engines, and what logins left behind."""
    revoke_tokens(client)
    policies = [
        f"sys/policies/acl/{name}"
        for name in listed(client, "sys/policies/acl")
        if name.startswith(LEARNER_POLICY_PREFIX)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda path: client.delete(f"/v1/{path}"), policies))
        list(pool.map(lambda place: place[0].undo(client, place[1], seeds), _engines()))
    if entities := list(listed(client, "identity/entity/id")):
        client.post("/v1/identity/entity/batch-delete", json={"entity_ids": entities})


def revoke_tokens(client: httpx.Client) -> int:
    """Revoke every token but `client`'s own; returns how many there were."""
    accessors = set(listed(client, "auth/token/accessors")) - {_own_accessor(client)}
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda a: client.post("/v1/auth/token/revoke-accessor", json={"accessor": a}), accessors))
    return len(accessors)


def _is_learners(path: str) -> bool:
    """Policies `ml-…`, and what each engine says is theirs. Logging in makes entities."""
    theirs = [f"sys/policies/acl/{LEARNER_POLICY_PREFIX}"]
    named = [one for engine, cloud in _engines() for one in engine.learners(cloud)] + ["identity/entity"]
    return path in named or path.startswith((*theirs, *(one for one in named if one.endswith("/"))))


def _engines() -> list[tuple[Engine, str]]:
    """Every engine of every cloud."""
    return [(engine, cloud) for engine in ENGINES for cloud in platform().clouds]


def _mounts(client: httpx.Client, path: str) -> Document:
    """Mounts without the names that Vault makes up for each: a mount that was made anew is as good."""
    return {
        name: {key: value for key, value in mount.items() if key not in ("accessor", "uuid")}
        for name, mount in data(client, path).items()
    }


def _secrets(pool: ThreadPoolExecutor, client: httpx.Client, known: Known) -> Document:
    """Every secret below kv: version and SHA-256 of its content."""
    folders, leaves = ["kv/metadata/"], []
    while folders:
        found = list(pool.map(lambda folder: (folder, listed(client, folder)), folders))
        names = [folder + name for folder, children in found for name in children]
        folders = [name for name in names if name.endswith("/")]
        leaves += [name for name in names if not name.endswith("/")]
    return dict(zip(leaves, pool.map(lambda leaf: _secret(client, leaf, known), leaves), strict=True))


def _secret(client: httpx.Client, leaf: str, known: Known) -> Document:
    """What there is to say of a secret but its value and the time it was written."""
    about = data(client, leaf) or {}
    mark = json.dumps(about, sort_keys=True)  # times of all versions to the nanosecond, and what was deleted
    if known.get(leaf, ("", {}))[0] != mark:
        known[leaf] = (mark, _read_secret(client, leaf) | {key: about[key] for key in KEPT if key in about})
    return known[leaf][1]


def _read_secret(client: httpx.Client, leaf: str) -> Document:
    answer = client.get(f"/v1/{leaf.replace('kv/metadata/', 'kv/data/', 1)}")
    found = answer.json().get("data") or {}
    about = {key: value for key, value in found.get("metadata", {}).items() if key != "created_time"}
    value = json.dumps(found.get("data"), sort_keys=True)
    return {"status": answer.status_code, "sha256": hashlib.sha256(value.encode()).hexdigest(), **about}


def _own_accessor(client: httpx.Client) -> str:
    accessor: str = data(client, "auth/token/lookup-self")["accessor"]
    return accessor
