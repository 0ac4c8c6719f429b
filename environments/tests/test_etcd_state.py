"""How values are written into etcd, so that whoever watches an API server sees all of them."""

from __future__ import annotations

import base64
import json

import httpx
from hypothesis import given
from hypothesis import strategies as st

from environments.cleanroom import etcd_state

KINDS = ("pods", "secrets", "services/specs", "rbac.authorization.k8s.io/roles", "apps/deployments")
NAMES = st.text("abc", min_size=1, max_size=3)
KEYS = st.builds(
    lambda kind, namespace, name: f"/registry/{kind}/{namespace}/{name}".encode(), st.sampled_from(KINDS), NAMES, NAMES
)
VALUES = st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=60)


class FakeEtcd:
    """Takes transactions, and counts revisions."""

    def __init__(self) -> None:
        self.transactions: list[dict[bytes, bytes | None]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        taken: dict[bytes, bytes | None] = {}
        for operation in json.loads(request.content)["success"]:
            ((kind, body),) = operation.items()
            key = base64.b64decode(body["key"])
            taken[key] = base64.b64decode(body["value"]) if kind == "requestPut" else None
        self.transactions.append(taken)
        return httpx.Response(200, json={"header": {"revision": str(len(self.transactions))}})


def written(values: dict[bytes, bytes | None]) -> tuple[FakeEtcd, dict[bytes, int]]:
    etcd = FakeEtcd()
    with httpx.Client(transport=httpx.MockTransport(etcd), base_url="https://etcd") as client:
        return etcd, etcd_state.write(client, values)


@given(VALUES)
def test_no_transaction_has_two_objects_of_a_kind_and_each_is_written_once(values: dict[bytes, bytes | None]) -> None:
    etcd, revisions = written(values)
    for taken in etcd.transactions:
        kinds = [key.split(b"/")[2] for key in taken]
        assert len(kinds) == len(set(kinds))
        assert 0 < len(taken) <= etcd_state.TXN_OPERATIONS
    assert sum(map(len, etcd.transactions)) == len(values)
    assert {key: value for taken in etcd.transactions for key, value in taken.items()} == values
    assert revisions == {key: number for number, taken in enumerate(etcd.transactions, 1) for key in taken}


def test_objects_of_different_kinds_are_written_together() -> None:
    values = dict.fromkeys([b"/registry/pods/a/1", b"/registry/pods/a/2", b"/registry/secrets/a/1"], b"x")
    etcd, _ = written(dict(values))
    assert [len(taken) for taken in etcd.transactions] == [2, 1]


def test_more_kinds_than_a_transaction_takes_are_written_in_several() -> None:
    etcd, _ = written({f"/registry/kind{number}/a".encode(): b"x" for number in range(250)})
    assert [len(taken) for taken in etcd.transactions] == [100, 100, 50]
