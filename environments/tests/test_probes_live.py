"""Probes against real servers: what a secured platform answers, what an open one does, and what must never count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.access import Access
from environments.footprint import Footprint
from environments.platform import platform
from environments.probes import Observation, Probe, Prober, load_probes
from environments.probes.clients import Clients, json_of
from environments.probes.pods import SHAPES
from environments.tests.securing import REGO, Operator, operator_of

pytestmark = [pytest.mark.servers, pytest.mark.slow]
PROBES = Path(__file__).parents[2] / "labs" / "zero-trust" / "probes"
CLOUD = "azure"
FIRST = platform().workloads[0]


def visible(*tasks: str) -> list[Probe]:
    return [probe for probe in load_probes(PROBES, visible=True) if probe.task in tasks]


def ask(access: Access, footprint: Footprint, probes: list[Probe]) -> list[Observation]:
    return Prober(access, footprint.capabilities, b"seed").run(probes)


def failing(seen: list[Observation]) -> set[str]:
    return {one.check for one in seen if one.ok is False}


def not_ok(seen: list[Observation]) -> list[tuple[str, ...]]:
    return [(one.probe_id, one.request, one.got, one.detail) for one in seen if one.ok is not True]


@pytest.fixture
def operator(footprint: Footprint) -> Iterator[Operator]:
    with operator_of(footprint) as someone:
        yield someone


@pytest.fixture
def secured(operator: Operator) -> Operator:
    operator.secure()
    return operator


def stored(access: Access) -> list[str]:
    """All objects that carry pods, in the platform's namespaces of all clouds."""
    with Clients(access) as clients:
        lists: list[list[dict[str, Any]]] = [
            json_of(clients.kube(cloud, "GET", shape.path(namespace)))["items"]
            for cloud in access.clouds
            for namespace in platform().namespaces
            for shape in SHAPES.values()
        ]
    return [item["metadata"]["name"] for items in lists for item in items]


def test_a_secured_platform_answers_every_visible_probe_and_nothing_stays_behind(
    secured: Operator, footprint: Footprint
) -> None:
    seen = ask(secured.access, footprint, visible("ZT-1", "ZT-2", "ZT-3"))
    asked = [one for one in seen if one.check != "ZT-1.5"]
    assert not not_ok(asked)
    assert {one.cloud for one in asked} == set(secured.access.clouds)
    recreated = [one for one in seen if one.check == "ZT-1.5"]
    assert {(one.ok, one.got) for one in recreated} == {(None, "not asked")}
    assert stored(secured.access) == []


def test_on_an_open_platform_no_refusal_counts(operator: Operator, footprint: Footprint) -> None:
    seen = ask(operator.access, footprint, visible("ZT-1", "ZT-2", "ZT-3"))
    right = [one for one in seen if one.ok]
    assert {one.check for one in right} == {"ZT-3.1"}  # nothing is refused yet


def test_a_policy_that_refuses_everything_passes_nothing(operator: Operator, footprint: Footprint) -> None:
    every_rule = ("digest", "registry", "privileged", "service-account", "data-label", "residency")
    operator.apply_rego(
        "package mod209.admission\n" + "".join(f'deny contains "[ZT-3/{rule}]"\n' for rule in every_rule)
    )
    assert not [one.probe_id for one in ask(operator.access, footprint, visible("ZT-3")) if one.ok is not False]


def test_a_refusal_for_another_reason_does_not_count(operator: Operator, footprint: Footprint) -> None:
    operator.apply_rego(REGO.replace("[ZT-3/digest]", "no digest"))
    seen = ask(operator.access, footprint, visible("ZT-3"))
    assert failing(seen) == {"ZT-3.2", "ZT-3.5", "ZT-3.6", "ZT-3.10"}
    assert "does not name the rule" in next(one.detail for one in seen if one.check == "ZT-3.2")


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ({"bound_claims": None}, {"ZT-1.5"}),
        ({"token_max_ttl": "24h"}, {"ZT-1.6"}),
        ({"token_period": "10m"}, {"ZT-1.6"}),
        ({"token_ttl": "0", "token_max_ttl": "0"}, {"ZT-1.6"}),
        ({"bound_audiences": ["{audience}", "{issuer}"]}, {"ZT-1.3"}),
        (
            {"bound_subject": "", "bound_claims": {"/kubernetes.io/namespace": "*"}, "bound_claims_type": "glob"},
            {"ZT-1.4", "ZT-1.5"},
        ),
        ({"bound_audiences": ["somebody"]}, {"ZT-1.1", "ZT-1.2", "ZT-1.3", "ZT-1.4", "ZT-1.5", "ZT-1.6"}),
        ({"token_num_uses": 1}, set()),
        ({"token_type": "batch"}, set()),
        ({"token_no_default_policy": True}, set()),
    ],
)
def test_one_role_that_is_wrong_fails_the_checks_of_its_fault(
    secured: Operator, footprint: Footprint, changes: dict[str, object], checks: set[str]
) -> None:
    named = {"{audience}": secured.access.params.audience, "{issuer}": secured.access.clouds[CLOUD].issuer}
    if audiences := changes.get("bound_audiences"):
        assert isinstance(audiences, list)
        changes = changes | {"bound_audiences": [named.get(one, one) for one in audiences]}
    secured.write_role(CLOUD, FIRST, **changes)
    seen = ask(footprint.access("judge"), footprint, visible("ZT-1"))
    assert failing(seen) == checks
    assert {one.cloud for one in seen if one.ok is False} <= {CLOUD}


@pytest.mark.parametrize(
    ("policy", "checks"),
    [
        ('path "kv/data/{own}*" {{ capabilities = ["read"] }}', {"ZT-2.2"}),
        ('path "kv/data/+/{rest}" {{ capabilities = ["read"] }}', {"ZT-2.4"}),
        ('path "kv/metadata/*" {{ capabilities = ["list"] }}', {"ZT-2.3"}),
        ('path "kv/data/{own}" {{ capabilities = ["read", "update"] }}', {"ZT-2.5"}),
        ('path "auth/token/create" {{ capabilities = ["update"] }}', {"ZT-2.6"}),
        ('path "kv/{own}" {{ capabilities = ["read"] }}', {"ZT-2.1", "ZT-2.2", "ZT-2.3", "ZT-2.4", "ZT-2.5", "ZT-2.6"}),
    ],
)
def test_one_vault_policy_that_is_wrong_fails_the_checks_of_its_fault(
    secured: Operator, footprint: Footprint, policy: str, checks: set[str]
) -> None:
    own = FIRST.secret(CLOUD)
    right = "" if '{own}" ' in policy else f'path "kv/data/{own}" {{ capabilities = ["read"] }}\n'
    text = policy.format(own=own, rest=own.removeprefix(f"{CLOUD}/"))
    secured.write_policy(CLOUD, FIRST, right + text)
    assert failing(ask(secured.access, footprint, visible("ZT-2"))) == checks


def test_without_a_login_secrets_fail_and_say_why(operator: Operator, footprint: Footprint) -> None:
    seen = ask(operator.access, footprint, visible("ZT-2"))
    assert {one.ok for one in seen} == {False}
    assert all("could not log in (ZT-1)" in one.detail for one in seen)


def add_validating_policy(access: Access, cloud: str, expression: str, message: str) -> None:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": expression, "message": message}],
    }
    group = "/apis/admissionregistration.k8s.io/v1"
    for plural, kind, content in (
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", spec),
        (
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            {"policyName": "test", "validationActions": ["Deny"]},
        ),
    ):
        version = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind}
        with Clients(access) as clients:
            answer = clients.kube(
                cloud, "POST", f"{group}/{plural}", version | {"metadata": {"name": "test"}, "spec": content}
            )
            assert answer.is_success, answer.text


def test_a_validating_admission_policy_counts_though_it_takes_a_second_to_act(
    operator: Operator, footprint: Footprint
) -> None:
    for cloud in operator.access.clouds:
        expression = "!has(object.spec.hostNetwork) || !object.spec.hostNetwork"
        add_validating_policy(operator.access, cloud, expression, "[ZT-3/privileged] no host network")
    seen = ask(operator.access, footprint, [probe for probe in visible("ZT-3") if probe.id == "host-network"])
    assert not not_ok(seen)


def test_a_policy_that_cannot_be_evaluated_is_a_wrong_answer(operator: Operator, footprint: Footprint) -> None:
    conflict = "mood := 1 if input.request\n\nmood := 2 if input.request\n\n"
    operator.apply_rego(f'package mod209.admission\n\n{conflict}deny contains "no" if mood == 3\n')
    seen = ask(operator.access, footprint, visible("ZT-3"))
    assert {one.ok for one in seen} == {False}
    assert all("could not be evaluated" in one.detail for one in seen)


def without_rights(footprint: Footprint) -> Access:
    access = footprint.access("operator")
    footprint.settle()
    return access


def without_vault(footprint: Footprint) -> Access:
    access = footprint.access("operator")
    vault = access.vault.model_copy(update={"address": "https://127.0.0.1:9"})
    return access.model_copy(update={"vault": vault})


@pytest.mark.parametrize(
    ("spoil", "task"), [(without_rights, "ZT-3"), (without_vault, "ZT-1"), (without_rights, "ZT-1")]
)
def test_what_our_own_side_lacks_is_never_the_learners_fault(
    footprint: Footprint, spoil: Callable[[Footprint], Access], task: str
) -> None:
    seen = ask(spoil(footprint), footprint, visible(task))
    assert {one.ok for one in seen} == {None}
    assert {one.got for one in seen} == {"not asked"}
