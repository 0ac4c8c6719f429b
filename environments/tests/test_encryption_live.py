"""ZT-7 against real servers: what the probes find, what operators may do with keys, and how it is all undone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.baseline import cohort
from environments.footprint import Footprint
from environments.platform import platform
from environments.probes import Observation, Probe, Prober, load_probes
from environments.probes.cohort import PATH, READER
from environments.probes.kinds.table import TableProbe
from environments.tests.encrypting import LABELS, encrypt, encrypted, feature_store, store
from environments.tests.securing import Operator, operator_of

pytestmark = [pytest.mark.servers, pytest.mark.slow]
VISIBLE = load_probes(Path(__file__).parents[2] / "labs" / "zero-trust" / "probes" / "zt-7.yaml", visible=True)
OTHERS = TableProbe(
    id="o", check="ZT-7.1", why="other objects", kind="table", expect="refused", ask="clear", how="others"
)
CLOUD = "azure"
FIRST = "p-0001"


@pytest.fixture
def operator(footprint: Footprint) -> Iterator[Operator]:
    with operator_of(footprint) as someone:
        yield someone


@pytest.fixture
def secured(operator: Operator) -> Operator:
    encrypt(operator)
    return operator


def ask(operator: Operator, footprint: Footprint, *more: Probe) -> list[Observation]:
    return Prober(operator.access, footprint.capabilities, b"seed").run([*VISIBLE, *more])


def failing(seen: list[Observation]) -> set[str]:
    return {one.check for one in seen if one.ok is not True}


def test_an_encrypted_table_answers_every_question_and_settles_untampered(
    secured: Operator, footprint: Footprint
) -> None:
    seen = ask(secured, footprint, OTHERS)
    assert not [(one.request, one.got, one.detail) for one in seen if one.ok is not True]
    assert {one.cloud for one in seen} == set(secured.access.clouds)
    assert footprint.settle()["tampered"] == []
    judge = Prober(footprint.access("judge"), footprint.capabilities, b"seed").run([*VISIBLE, OTHERS])
    assert not failing(judge)


def test_before_anything_is_done_nothing_passes_and_the_first_value_is_named(
    operator: Operator, footprint: Footprint
) -> None:
    seen = ask(operator, footprint)
    assert not [one.request for one in seen if one.ok is not False]
    clear = next(one for one in seen if one.check == "ZT-7.1")
    assert "configmap features/cohort: " in clear.detail


def first(operator: Operator) -> cohort.Row:
    return cohort.rows(operator.access.params, CLOUD)[0]


def in_an_annotation(operator: Operator) -> None:
    note = {"metadata": {"annotations": {cohort.LAST_APPLIED: json.dumps([first(operator)])}}}
    patch(operator, PATH, note)


def in_another_config_map(operator: Operator) -> None:
    backup = {"metadata": {"name": "backup"}, "data": {"patient": first(operator)["name"]}}
    operator.clients.kube(CLOUD, "POST", "/api/v1/namespaces/serving/configmaps", backup).raise_for_status()


def in_base64(operator: Operator) -> None:
    text = base64.b64encode(f"it is {first(operator)['medication']}".encode()).decode()
    backup = {"metadata": {"name": "backup"}, "binaryData": {"x": text}}
    operator.clients.kube(CLOUD, "POST", "/api/v1/namespaces/training/configmaps", backup).raise_for_status()


def in_the_name_of_a_key(operator: Operator) -> None:
    hexadecimal = first(operator)["postcode"].encode().hex()
    backup = {"metadata": {"name": "backup"}, "data": {f"x.{hexadecimal}": ""}}
    operator.clients.kube(CLOUD, "POST", "/api/v1/namespaces/registry/configmaps", backup).raise_for_status()


def as_a_data_key(operator: Operator) -> None:
    token = feature_store(operator, CLOUD)
    rows = json.loads(operator.clients.kube(CLOUD, "GET", PATH).json()["data"]["rows.json"])
    answer = operator.clients.vault(
        "POST", f"transit-{CLOUD}/decrypt/health", token, {"ciphertext": rows[0]["health"]["key"]}
    )
    rows[0]["health"]["cached"] = answer.json()["data"]["plaintext"]
    store(operator, CLOUD, rows)


def patch(operator: Operator, path: str, change: dict[str, Any]) -> None:
    whole = operator.clients.kube(CLOUD, "GET", path).json()
    whole["metadata"]["annotations"] = change["metadata"]["annotations"]
    operator.clients.kube(CLOUD, "PUT", path, whole).raise_for_status()


@pytest.mark.parametrize(
    "hide", [in_an_annotation, in_another_config_map, in_base64, in_the_name_of_a_key, as_a_data_key]
)
def test_a_value_that_is_left_somewhere_is_found(
    secured: Operator, footprint: Footprint, hide: Callable[[Operator], None]
) -> None:
    hide(secured)
    wrong = [one for one in ask(secured, footprint) if one.ok is not True]
    assert {(one.check, one.cloud) for one in wrong} == {("ZT-7.1", CLOUD)}


def test_a_value_in_an_account_is_found_among_other_objects(secured: Operator, footprint: Footprint) -> None:
    path = "/api/v1/namespaces/monitoring/serviceaccounts/collector"
    patch(secured, path, {"metadata": {"annotations": {"note": first(secured)["diagnosis"]}}})
    wrong = [one for one in ask(secured, footprint, OTHERS) if one.ok is not True]
    assert [(one.probe_id, one.cloud) for one in wrong] == [("o", CLOUD)]


def test_envelopes_that_change_places_are_noticed(secured: Operator, footprint: Footprint) -> None:
    rows = encrypted(secured, CLOUD)
    rows[0]["health"], rows[1]["health"] = rows[1]["health"], rows[0]["health"]
    store(secured, CLOUD, rows)
    wrong = [one for one in ask(secured, footprint) if one.ok is not True]
    assert {"ZT-7.2"} <= {one.check for one in wrong} <= {"ZT-7.2", "ZT-7.6"}


def test_a_policy_that_lets_no_batch_through_is_as_good(secured: Operator, footprint: Footprint) -> None:
    workload = next(one for one in platform().workloads if one.role == READER)
    one_by_one = "".join(
        f'path "transit-{CLOUD}/decrypt/{label}" {{\n  capabilities = ["update"]\n  allowed_parameters = {{ "ciphertext" = [] }}\n}}\n'
        for label in LABELS
    )
    secured.write_policy(CLOUD, workload, one_by_one)
    assert not failing(ask(secured, footprint))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "decrypt/health", {"ciphertext": "vault:v1:AAAA"}),
        ("POST", "encrypt/health", {"plaintext": "AAAA"}),
        ("POST", "datakey/plaintext/health", {}),
        ("POST", "datakey/wrapped/health", {}),
        ("POST", "hmac/health", {"input": "AAAA"}),
        ("GET", "export/encryption-key/health", None),
        ("GET", "backup/health", None),
        ("POST", "restore/health", {"backup": "AAAA"}),
        ("POST", "keys/health/import", {"ciphertext": "AAAA"}),
        ("POST", "keys/health/trim", {"min_available_version": 1}),
        ("DELETE", "keys/health", None),
        ("POST", "config/keys", {"disable_upsert": True}),
        ("POST", "cache-config", {"size": 0}),
    ],
)
def test_operators_manage_keys_and_use_none(operator: Operator, method: str, path: str, body: Any) -> None:
    token = operator.access.vault.token
    operator.vault(f"transit-{CLOUD}/keys/health", {})
    operator.vault(f"transit-{CLOUD}/keys/health/rotate", {})
    answer = operator.clients.vault(method, f"transit-{CLOUD}/{path}", token, body)
    assert answer.status_code == 403, answer.text


def test_a_reset_takes_keys_and_table_back_without_a_new_vault(operator: Operator, footprint: Footprint) -> None:
    first_report = footprint.reset()
    encrypt_on = operator_of(footprint)
    with encrypt_on as again:
        encrypt(again)
        again.vault(f"transit-{CLOUD}/keys/another", {"exportable": True, "type": "rsa-2048"})
    report = footprint.reset()
    assert not report["vault"]["renewed"]
    assert report["vault"]["digest"] == first_report["vault"]["digest"]
    with operator_of(footprint) as clean:
        stored = clean.clients.kube(CLOUD, "GET", PATH).json()
        assert json.loads(stored["data"]["rows.json"]) == cohort.rows(clean.access.params, CLOUD)
        answer = clean.clients.vault("LIST", f"transit-{CLOUD}/keys", clean.access.vault.token)
        assert answer.status_code == 404


def test_settings_of_the_engine_that_a_workload_changed_are_tampering(secured: Operator, footprint: Footprint) -> None:
    workload = next(one for one in platform().workloads if one.role == READER)
    secured.write_policy(CLOUD, workload, f'path "transit-{CLOUD}/*" {{ capabilities = ["create", "update", "sudo"] }}')
    token = feature_store(secured, CLOUD)
    answer = secured.clients.vault("POST", f"transit-{CLOUD}/config/keys", token, {"disable_upsert": True})
    assert answer.is_success, answer.text
    assert footprint.settle()["tampered"] == [f"vault: transit-{CLOUD}/config/keys"]
    clean = footprint.reset()["vault"]
    assert clean["digest"] == footprint.reset()["vault"]["digest"]
