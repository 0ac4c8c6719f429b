"""A cloud's whole state as etcd keys: dump it, put it back exactly, and say what differs from the baseline."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import httpx

from environments.baseline.legacy import cluster_bindings
from environments.platform import platform

TXN_OPERATIONS = 100  # etcd refuses more than 128 in one transaction
# Keys that the API server renews by itself, whoever uses it; the compactor writes its own every five minutes.
VOLATILE = re.compile(r"^(compact_rev_key$|/registry/(masterleases|peerserverleases|leases/kube-system/apiserver-))")


@dataclass(frozen=True)
class Snapshot:
    """All keys but the volatile ones, at one revision of etcd."""

    keys: Mapping[bytes, bytes]

    @property
    def digest(self) -> str:
        """SHA-256 over keys and values, in order, each with its length."""
        state = hashlib.sha256()
        for key in sorted(self.keys):
            for part in (key, self.keys[key]):
                state.update(len(part).to_bytes(8, "big") + part)
        return state.hexdigest()

    def changed(self, other: Snapshot) -> set[bytes]:
        """Keys that one of the two lacks, or whose values differ."""
        return {key for key in self.keys.keys() | other.keys.keys() if self.keys.get(key) != other.keys.get(key)}


def size(client: httpx.Client) -> int:
    """Bytes of etcd's database that are in use, history included."""
    return int(client.post("/v3/maintenance/status", json={}).raise_for_status().json()["dbSizeInUse"])


def dump(client: httpx.Client, volatile: re.Pattern[str] = VOLATILE) -> Snapshot:
    """Read everything but the `volatile`, in one consistent read."""
    everything = _b64(b"\0")
    answer = client.post("/v3/kv/range", json={"key": everything, "range_end": everything}).raise_for_status().json()
    pairs = {base64.b64decode(kv["key"]): base64.b64decode(kv.get("value", "")) for kv in answer.get("kvs", ())}
    keys = {key: value for key, value in pairs.items() if not volatile.match(key.decode(errors="replace"))}
    return Snapshot(keys)


def restore(
    client: httpx.Client, baseline: Snapshot, now: Snapshot, only: re.Pattern[str] | None = None
) -> dict[bytes, int]:
    """Write back what differs `now` from `baseline`, and delete what it lacks; keys that `only` does not match stay.

    Returns:
        The keys that were written or deleted, each with etcd's revision of that.
    """
    changed = baseline.changed(now)
    if only:
        changed = {key for key in changed if only.match(key.decode(errors="replace"))}
    return write(client, {key: baseline.keys.get(key) for key in changed})


def write(client: httpx.Client, values: Mapping[bytes, bytes | None]) -> dict[bytes, int]:
    """Write values by key; None deletes. Returns the keys, each with etcd's revision of that.

    No transaction has two objects of a kind. An API server knows how far a watcher is by a revision alone: one that is
    slow and asks again in the middle of a revision is never told of the rest of it.
    """
    revisions: dict[bytes, int] = {}
    for keys in _transactions(values):
        operations = [_operation(key, values[key]) for key in keys]
        done = client.post("/v3/kv/txn", json={"success": operations}).raise_for_status().json()
        revisions |= dict.fromkeys(keys, int(done["header"]["revision"]))
    return revisions


def stored(item: Mapping[str, Any]) -> bytes:
    """An object as an API server reads it from etcd; JSON will do."""
    return json.dumps(item).encode()


def born() -> dict[str, str]:
    """What an API server adds to a new object's metadata."""
    return {"uid": str(uuid.uuid4()), "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def learner_domain() -> re.Pattern[str]:
    """Keys that a learner may change.

    Objects of the platform's namespaces but our own roles and bindings, validating policies, events, and what may be
    deleted of the rights that stand in the cluster.
    """
    namespaces = "|".join(map(re.escape, platform().namespaces))
    ours = rf"role(binding)?s/({namespaces})/mod209:"
    left = "|".join(map(re.escape, cluster_bindings()))
    return re.compile(
        rf"^/registry/((?!{ours})[^/]+/({namespaces})/|validatingadmissionpolic(ies|ybindings)/|events/"
        rf"|clusterrolebindings/({left})$)"
    )


def _operation(key: bytes, value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {"requestDeleteRange": {"key": _b64(key)}}
    return {"requestPut": {"key": _b64(key), "value": _b64(value)}}


def _transactions(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    """What to write together, in order: the first key of each kind, then the second of each, and so on."""
    by_kind: dict[bytes, list[bytes]] = {}
    for key in sorted(keys):
        by_kind.setdefault(b"/".join(key.split(b"/")[:3]), []).append(key)
    for beside in zip_longest(*by_kind.values()):
        together = [key for key in beside if key is not None]
        for start in range(0, len(together), TXN_OPERATIONS):
            yield together[start : start + TXN_OPERATIONS]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
