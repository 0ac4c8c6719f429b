"""A rotation on real servers: what the watch tells, whom the rights let do what, and that all of it comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from environments.baseline.approle import credential_path, role_path
from environments.errors import BadInputError
from environments.footprint import Footprint
from environments.lab.watch import Watch
from environments.tests.securing import Operator, operator_of

pytestmark = [pytest.mark.servers, pytest.mark.slow]
CLOUDS = ("aws", "azure", "gcp")


@pytest.fixture
def operator(footprint: Footprint) -> Iterator[Operator]:
    footprint.reset()
    with operator_of(footprint) as someone:
        yield someone
    footprint.reset()


def watch_of(operator: Operator) -> Watch:
    assert operator.access.workbench
    return Watch(operator.access.workbench)


def ask(operator: Operator, method: str, path: str, body: object = None) -> int:
    return operator.clients.vault(method, path, operator.access.vault.token, body).status_code


def test_only_a_record_of_this_turn_that_was_ended_reaches_the_judge(operator: Operator, footprint: Footprint) -> None:
    assert footprint.access("judge").rehearsal is None
    with watch_of(operator) as watch:
        assert {cloud: watch.using(cloud) for cloud in CLOUDS} == dict.fromkeys(CLOUDS, 1)
        assert footprint.access("judge").rehearsal is None
    assert footprint.access("operator").rehearsal is None
    assert footprint.settle()["tampered"] == []
    record = footprint.access("judge").rehearsal
    assert record
    assert record.ended
    assert all(seen.calls > 0 and seen.failed == 0 for seen in record.clouds.values())
    footprint.reset()
    assert footprint.access("judge").rehearsal is None


def test_a_destroyed_secret_id_is_seen_and_comes_back(operator: Operator, footprint: Footprint) -> None:
    role, incident = role_path("aws"), operator.access.incidents["aws"]
    digest = footprint.reset()["vault"]["digest"]
    with operator_of(footprint) as someone, watch_of(someone) as watch:
        assert ask(someone, "POST", f"{role}/secret-id/destroy", {"secret_id": incident.used}) < 300
        assert ask(someone, "POST", f"kv/data/{credential_path('aws')}", {"data": {"secret_id": "wrong"}}) < 300
    assert watch.record
    assert watch.record.clouds["aws"].failed > 0
    assert watch.record.clouds["gcp"].failed == 0
    assert footprint.settle()["tampered"] == []
    report = footprint.reset()["vault"]
    assert (report["digest"], report["renewed"]) == (digest, False)
    with operator_of(footprint) as someone:
        login = {"role_id": incident.role_id, "secret_id": incident.used}
        assert someone.clients.vault("POST", "auth/approle-aws/login", None, login).status_code == 200


def test_operators_may_not_change_the_role_nor_choose_secret_ids_nor_read_other_secrets(operator: Operator) -> None:
    role = role_path("aws")
    for method, path in (
        ("POST", role),
        ("DELETE", role),
        ("POST", f"{role}/role-id"),
        ("POST", f"{role}/custom-secret-id"),
        ("POST", "sys/auth/approle-aws/tune"),
        ("GET", "kv/data/aws/registry/model-registry"),
        ("DELETE", f"kv/metadata/{credential_path('aws')}"),
    ):
        assert ask(operator, method, path, {}) == 403, path


def test_nothing_is_watched_after_settle(operator: Operator, footprint: Footprint) -> None:
    footprint.settle()
    with pytest.raises(BadInputError, match="wrong token"), watch_of(operator):
        pass
