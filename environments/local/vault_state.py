"""Vault's state as one canonical document, for comparing with the baseline; and how a learner's work is undone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from environments.baseline import pki
from environments.baseline.approle import credential_path
from environments.baseline.pki import pki_mount
from environments.baseline.vault import JWT_MOUNT, LEARNER_POLICY_PREFIX, Seeds, jwt_mount
from environments.local import approle_state
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
PKI_SETTINGS = (
    "config/urls",
    "config/crl",
    "config/cluster",
    "config/acme",
    "config/auto-tidy",
)
PKI_LISTS = ("certs", "certs/revoked")
KEPT = ("max_versions", "cas_required", "delete_version_after", "custom_metadata")  # how a secret's versions are kept


def dump(client: httpx.Client, known: Known) -> Document:
    """Everything that matters, path to content: mounts, policies, audit devices, auth configuration, secrets, identities, tokens.

    Secret values appear as SHA-256 only. `client` carries the root token, whose own accessor is left out. `known` is what
    earlier dumps have read: a version of a secret never changes, so one whose metadata is the same is not read again.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        document: Document = {path: _mounts(client, path) for path in ("sys/mounts", "sys/auth", "sys/audit")}
        mounts = [jwt_mount(cloud) for cloud in platform().clouds]
        paths = [f"auth/{mount}/config" for mount in mounts] + list(SETTINGS)
        engines = [pki_mount(cloud) for cloud in platform().clouds]
        paths += [f"{engine}/{setting}" for engine in engines for setting in PKI_SETTINGS]
        folders = [f"auth/{mount}/role" for mount in mounts] + [f"{engine}/roles" for engine in engines]
        paths += _children(pool, client, [*folders, *FOLDERS])
        document |= dict(zip(paths, pool.map(lambda path: _data(client, path), paths), strict=True))
        document |= {f"{engine}/ca": _root(client, engine) for engine in engines}
        document |= {
            f"{engine}/{lists}": sorted(_list(client, f"{engine}/{lists}")) for engine in engines for lists in PKI_LISTS
        }
        for told in pool.map(lambda cloud: approle_state.document(client, cloud), platform().clouds):
            document |= told
        document["sys/key-status"] = _data(client, "sys/key-status")["term"]
        document["identity/entity"] = sorted(_list(client, "identity/entity/id"))
        document["auth/token/accessors"] = sorted(set(_list(client, "auth/token/accessors")) - {_own_accessor(client)})
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
    """Undo all that learners may do: their policies, the contents of the jwt mounts, and what logins left behind."""
    revoke_tokens(client)
    policies = [
        f"sys/policies/acl/{name}"
        for name in _list(client, "sys/policies/acl")
        if name.startswith(LEARNER_POLICY_PREFIX)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda path: client.delete(f"/v1/{path}"), policies))
        list(pool.map(lambda cloud: _remount(client, jwt_mount(cloud)), platform().clouds))
        list(pool.map(lambda cloud: _renew_pki(client, cloud, seeds), platform().clouds))
        list(pool.map(lambda cloud: approle_state.undo(client, cloud, seeds.incidents[cloud]), platform().clouds))
    if entities := list(_list(client, "identity/entity/id")):
        client.post("/v1/identity/entity/batch-delete", json={"entity_ids": entities})


def revoke_tokens(client: httpx.Client) -> int:
    """Revoke every token but `client`'s own; returns how many there were."""
    accessors = set(_list(client, "auth/token/accessors")) - {_own_accessor(client)}
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda a: client.post("/v1/auth/token/revoke-accessor", json={"accessor": a}), accessors))
    return len(accessors)


def _is_learners(path: str) -> bool:
    """Policies `ml-…`, the jwt mounts, roles and certificates of the PKI engines, push credentials. Logging in makes entities."""
    roles = [f"auth/{jwt_mount(cloud)}/" for cloud in platform().clouds]
    roles += [f"{pki_mount(cloud)}/{part}" for cloud in platform().clouds for part in ("roles/", *PKI_LISTS)]
    exact = {f"kv/metadata/{credential_path(cloud)}" for cloud in platform().clouds} | {"identity/entity"}
    exact |= {approle_state.secret_ids(cloud) for cloud in platform().clouds}
    return path.startswith((f"sys/policies/acl/{LEARNER_POLICY_PREFIX}", *roles)) or path in exact


def _remount(client: httpx.Client, mount: str) -> None:
    if _data(client, f"auth/{mount}/config") or _list(client, f"auth/{mount}/role"):
        client.delete(f"/v1/sys/auth/{mount}")
        client.post(f"/v1/sys/auth/{mount}", json=JWT_MOUNT)


def _renew_pki(client: httpx.Client, cloud: str, seeds: Seeds) -> None:
    mount = pki_mount(cloud)
    if _list(client, f"{mount}/roles") or _list(client, f"{mount}/certs") or _list(client, f"{mount}/certs/revoked"):
        client.delete(f"/v1/sys/mounts/{mount}").raise_for_status()
        pki.set_up(client, cloud, seeds.authorities[cloud])


def _root(client: httpx.Client, mount: str) -> Document:
    """Who signs for a PKI engine, and by which keys; without the names that Vault makes up for them."""
    told = [_data(client, f"{mount}/issuer/{issuer}") or {} for issuer in _list(client, f"{mount}/issuers")]
    issuers = [{key: value for key, value in one.items() if key not in ("issuer_id", "key_id")} for one in told]
    return {"default": (_data(client, f"{mount}/cert/ca") or {}).get("certificate"), "issuers": issuers}


def _mounts(client: httpx.Client, path: str) -> Document:
    """Mounts without the names that Vault makes up for each: a mount that was made anew is as good."""
    return {
        name: {key: value for key, value in mount.items() if key not in ("accessor", "uuid")}
        for name, mount in _data(client, path).items()
    }


def _children(pool: ThreadPoolExecutor, client: httpx.Client, folders: list[str]) -> list[str]:
    listings = pool.map(lambda folder: _list(client, folder), folders)
    return [f"{folder}/{name}" for folder, names in zip(folders, listings, strict=True) for name in names]


def _secrets(pool: ThreadPoolExecutor, client: httpx.Client, known: Known) -> Document:
    """Every secret below kv: version and SHA-256 of its content."""
    folders, leaves = ["kv/metadata/"], []
    while folders:
        found = list(pool.map(lambda folder: (folder, _list(client, folder)), folders))
        names = [folder + name for folder, children in found for name in children]
        folders = [name for name in names if name.endswith("/")]
        leaves += [name for name in names if not name.endswith("/")]
    return dict(zip(leaves, pool.map(lambda leaf: _secret(client, leaf, known), leaves), strict=True))


def _secret(client: httpx.Client, leaf: str, known: Known) -> Document:
    """What there is to say of a secret but its value and the time it was written."""
    about = _data(client, leaf) or {}
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


def _data(client: httpx.Client, path: str) -> Any:
    answer = client.get(f"/v1/{path}")
    if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST):  # a jwt mount not configured says either
        return None
    return answer.raise_for_status().json().get("data")


def _list(client: httpx.Client, path: str) -> Iterable[str]:
    answer = client.request("LIST", f"/v1/{path}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    keys: list[str] = answer.raise_for_status().json()["data"]["keys"]
    return keys


def _own_accessor(client: httpx.Client) -> str:
    accessor: str = _data(client, "auth/token/lookup-self")["accessor"]
    return accessor
