"""The judge's requests of a cloud, seen by policies that look for it: they find nothing, and what spares somebody fails."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.access import Identity
from environments.footprint import Footprint
from environments.probes import Observation, Probe, Prober, load_probes
from environments.probes.clients import Clients, json_of, message_of
from environments.tests.securing import Operator, operator_of

pytestmark = [pytest.mark.servers, pytest.mark.slow]
COURSE = Path(__file__).parents[2]
CEL = COURSE / "solutions" / "zero-trust" / "alternatives" / "zt-3-validating-admission-policy" / "admission.yaml"
GROUP = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
Object = dict[str, Any]


def admission_probes() -> list[Probe]:
    files = ((COURSE / root / "zero-trust" / "probes" / "zt-3.yaml", root == "labs") for root in ("labs", "solutions"))
    return [probe for path, visible in files for probe in load_probes(path, visible)]


def right_rules() -> list[Object]:
    """The alternative's policy and its binding, right in all that they check."""
    return list(yaml.safe_load_all(CEL.read_text().partition("\n")[2]))


def add(operator: Operator, objects: Iterable[Object], only: str = "") -> None:
    for cloud in [only] if only else operator.access.clouds:
        for item in objects:
            answer = operator.clients.kube(cloud, "POST", f"{GROUP}/{PLURALS[item['kind']]}", item)
            assert answer.is_success, answer.text


def judged(footprint: Footprint, seed: bytes = b"seed") -> list[Observation]:
    """What the judge finds once the learner is gone."""
    assert footprint.settle()["tampered"] == []
    return Prober(footprint.access("judge"), footprint.capabilities, seed).run(admission_probes())


def failing(seen: list[Observation], cloud: str) -> set[str]:
    return {one.check for one in seen if one.ok is False and one.cloud == cloud}


@pytest.fixture
def operator(footprint: Footprint) -> Iterator[Operator]:
    with operator_of(footprint) as someone:
        yield someone


REFUSING = {f"ZT-3.{number}" for number in range(1, 11)}


@pytest.mark.parametrize(
    "conditions",  # one on each cloud
    [
        (
            "request.userInfo.username == 'mod209:judge'",
            "request.userInfo.username != 'mod209:operator'",
            "request.userInfo.username == 'mod209:operator'",
        ),
        (
            "'mod209:operators' in request.userInfo.groups",
            "!('mod209:operators' in request.userInfo.groups)",
            "!request.userInfo.username.startsWith('system:serviceaccount:')",
        ),
        (
            "has(request.dryRun) && request.dryRun",
            "!(has(request.dryRun) && request.dryRun)",
            "request.userInfo.username.startsWith('system:serviceaccount:')",
        ),
    ],
    ids=["names", "groups", "dry-runs"],
)
def test_right_rules_for_some_requests_only_fail(
    operator: Operator, footprint: Footprint, conditions: tuple[str, ...]
) -> None:
    for cloud, condition in zip(operator.access.clouds, conditions, strict=True):
        policy, binding = right_rules()
        policy["spec"]["matchConditions"] = [{"name": "only-some", "expression": condition}]
        add(operator, [policy, binding], cloud)
    seen = judged(footprint)
    assert {cloud: failing(seen, cloud) for cloud in operator.access.clouds} == dict.fromkeys(
        operator.access.clouds, REFUSING
    )


def test_refusing_all_of_some_requests_refuses_compliant_ones(operator: Operator, footprint: Footprint) -> None:
    conditions = (
        "request.userInfo.username.startsWith('system:serviceaccount:')",
        "!(has(request.dryRun) && request.dryRun) && request.operation == 'UPDATE'",
    )
    *spoilt, sound = operator.access.clouds
    add(operator, right_rules())
    for cloud, condition in zip(spoilt, conditions, strict=True):
        policy, binding = rule("false", "'[ZT-3/digest] [ZT-3/registry] [ZT-3/privileged]'")
        policy["spec"]["matchConditions"] = [{"name": "only-some", "expression": condition}]
        add(operator, [policy, binding], cloud)
    seen = judged(footprint)
    assert all("ZT-3.1" in failing(seen, cloud) for cloud in spoilt)
    assert failing(seen, sound) == set()


SEEN = """
'user ' + request.userInfo.username + ' groups ' + request.userInfo.groups.join(',')
+ ' uid ' + (has(request.userInfo.uid) ? request.userInfo.uid : '')
+ ' extra ' + request.userInfo.extra.map(key, key + '=' + request.userInfo.extra[key].join(',')).join(';')
"""
OPERATORS_RIGHTS = """
authorizer.group('admissionregistration.k8s.io').resource('validatingadmissionpolicies').check('create').allowed()
&& !authorizer.group('').resource('users').check('impersonate').allowed()
"""  # more than two look-ups cost more than one expression may


def rule(expression: str, message: str, name: str = "also") -> list[Object]:
    """One more policy, for pods and what makes pods, and its binding."""
    policy, binding = right_rules()
    spec = policy["spec"]
    spec = {key: spec[key] for key in ("failurePolicy", "matchConstraints")}
    spec["validations"] = [{"expression": expression, "messageExpression": message}]
    bound = {"policyName": name, "validationActions": ["Deny"]}
    return [
        {**policy, "metadata": {"name": name}, "spec": spec},
        {**binding, "metadata": {"name": name}, "spec": bound},
    ]


def refusal(clients: Clients, who: Identity | None = None, seconds: float = 10.0) -> str:
    """What a policy that says what it sees says to a pod, once it acts."""
    spec = {"containers": [{"name": "main", "image": "x"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = clients.kube("aws", "POST", "/api/v1/namespaces/training/pods", pod, who, dryRun="All")
        if "user " in message_of(answer):  # not of an earlier policy, which may act for a moment longer
            return message_of(answer)
    raise AssertionError(f"the policy does not act: {message_of(answer)}")


def test_a_policy_sees_the_operator_itself_and_nobodys_rights_changed(operator: Operator, footprint: Footprint) -> None:
    add(operator, rule(f"!({OPERATORS_RIGHTS})", SEEN))
    before = refusal(operator.clients)
    assert "user mod209:operator groups mod209:operators,system:authenticated uid  extra " in before
    assert "X509SHA256=" in before
    footprint.settle()
    with Clients(footprint.access("judge")) as judge:
        assert refusal(judge) == before


def test_the_others_look_like_people_and_accounts(operator: Operator, footprint: Footprint) -> None:
    add(operator, rule("false", SEEN))
    refusal(operator.clients)
    access = footprint.access("judge")
    with Clients(access) as judge:
        seen = [refusal(judge, who) for who in access.clouds["aws"].people]
    assert len(set(seen)) == len(seen) == 4
    assert not any("mod209:judge" in one for one in seen)
    assert all("authentication.kubernetes.io/credential-id=" in one for one in seen)
    account = access.clouds["aws"].people[-1].user
    namespace = account.split(":")[2]
    groups = f"system:serviceaccounts,system:serviceaccounts:{namespace},system:authenticated"
    assert f"user {account} groups {groups} uid " in seen[-1]


def test_the_judge_itself_may_do_nothing_and_take_on_nobody_above(footprint: Footprint) -> None:
    access = footprint.access("judge")
    keeper = Identity(user="somebody", groups=["system:masters"])
    with Clients(access) as judge:
        answer = judge.kube("aws", "GET", "/api/v1/namespaces/kube-system/secrets", None, keeper)
        assert "cannot impersonate" in message_of(answer)
    alone = {name: cloud.model_copy(update={"people": []}) for name, cloud in access.clouds.items()}
    with Clients(access.model_copy(update={"clouds": alone})) as judge:
        assert judge.kube("aws", "GET", "/api/v1/namespaces/training/pods").status_code == 403


def test_rego_sees_no_clock_and_no_tool(operator: Operator) -> None:
    operator.apply_rego(
        """package mod209.admission

deny contains sprintf("[spy] %s", [field]) if {
	some thing in ["object", "oldObject"]
	some field in ["creationTimestamp", "managedFields", "uid"]
	input.request[thing].metadata[field]
}

deny contains "[spy] name" if not input.request.object.metadata.name
"""
    )
    path, spec = "/api/v1/namespaces/training/pods", {"containers": [{"name": "main", "image": "x"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    deadline = time.monotonic() + 10  # a policy of the test before may act a moment longer
    while not (stored := operator.clients.kube("aws", "POST", path, pod, fieldManager="seen")).is_success:
        assert time.monotonic() < deadline, stored.text
    changed = json_of(stored)
    changed["metadata"]["labels"] = {"changed": "yes"}
    answer = operator.clients.kube("aws", "PUT", f"{path}/p", changed, fieldManager="seen")
    assert answer.is_success, answer.text


@pytest.mark.parametrize("call", ["time.now_ns()", 'rand.intn("x", 2)', 'uuid.rfc4122("x")', "opa.runtime()"])
def test_rego_that_could_wait_for_a_moment_or_throw_dice_is_not_loaded(operator: Operator, call: str) -> None:
    with pytest.raises(AssertionError, match="undefined function"):
        operator.apply_rego(f'package mod209.admission\n\ndeny contains "x" if {call} == 1\n')
