"""Operators and RBAC on real servers: what they may clear away, what they cannot take, and whom they never get to know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from environments.access import Access
from environments.footprint import Footprint
from environments.lab.api import Lab
from environments.platform import platform
from environments.probes.clients import Clients, json_of, message_of
from environments.tests.securing import Operator, operator_of

pytestmark = pytest.mark.servers
CLOUD = "gcp"
GROUP = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{GROUP}/namespaces/training/roles"
BINDINGS = f"{GROUP}/namespaces/training/rolebindings"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
OPERATORS = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "mod209:operators"}
Object = dict[str, Any]


@pytest.fixture
def operator(footprint: Footprint) -> Iterator[Operator]:
    with operator_of(footprint) as someone:
        yield someone


def role(name: str, *rules: Object) -> Object:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, kind: str, role_name: str, subject: Object) -> Object:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role_name}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


def names_of(access: Access) -> list[str]:
    """What a policy could tell the judge's people by."""
    return [part for person in access.clouds[CLOUD].people[2:] for part in (*person.groups, person.user.split(":")[-1])]


def test_clearing_away_and_granting_is_the_learners_work(operator: Operator, footprint: Footprint) -> None:
    ask = operator.clients.kube
    operator.clear_access()
    can = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]}
    assert ask(CLOUD, "POST", ROLES, role("mine", can)).status_code == 201
    assert ask(CLOUD, "POST", BINDINGS, binding("mine", "Role", "mine", OPERATORS)).status_code == 201
    assert footprint.settle()["tampered"] == []
    again = footprint.reset()["etcd"][CLOUD]
    assert again["keys_restored"] > 20
    with operator_of(footprint) as next_one:
        left = json_of(next_one.clients.kube(CLOUD, "GET", ROLES))["items"]
        assert sorted(item["metadata"]["name"] for item in left) == ["legacy-notebooks", "legacy-pipeline"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", f"{BINDINGS}/mod209:operator", None),
        (
            "PUT",
            f"{BINDINGS}/mod209:operator",
            binding("mod209:operator", "ClusterRole", "mod209:platform-editor", OPERATORS),
        ),
        ("POST", BINDINGS, binding("mod209:team", "ClusterRole", "mod209:platform-editor", OPERATORS)),
        ("POST", ROLES, role("mod209:x")),
        ("DELETE", BINDINGS, None),
        ("DELETE", ROLES, None),
        ("GET", f"{GROUP}/rolebindings", None),
        ("GET", f"{GROUP}/clusterroles", None),
        ("GET", f"{GROUP}/clusterroles/mod209:judge", None),
        ("GET", f"{GROUP}/namespaces/kube-system/rolebindings", None),
        ("DELETE", f"{GROUP}/clusterrolebindings/mod209:judge", None),
        ("POST", ROLES, role("x", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]})),
        ("POST", ROLES, role("x", {"apiGroups": [""], "resources": ["*"], "verbs": ["get"]})),
        ("POST", ROLES, role("x", {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]})),
        ("POST", ROLES, role("x", {"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"]})),
        ("POST", f"{GROUP}/namespaces/serving/rolebindings", binding("x", "Role", "legacy-deployer", OPERATORS)),
        ("POST", f"{GROUP}/namespaces/registry/rolebindings", binding("x", "Role", "legacy-owners", OPERATORS)),
        ("POST", BINDINGS, binding("x", "ClusterRole", "legacy:security-audit", OPERATORS)),
        ("POST", BINDINGS, binding("x", "ClusterRole", "cluster-admin", OPERATORS)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_operators_take_nothing_that_is_ours_or_more_than_theirs(
    operator: Operator, method: str, path: str, body: Object | None
) -> None:
    for options in ({}, {"dryRun": "All"}):
        answer = operator.clients.kube(CLOUD, method, path, body, None, **options)
        assert answer.status_code == 403, message_of(answer)


def test_the_old_bindings_of_power_cannot_be_turned_to_operators(operator: Operator) -> None:
    for namespace, name in (("serving", "legacy-deployer"), ("registry", "legacy-owners")):
        path = f"{GROUP}/namespaces/{namespace}/rolebindings/{name}"
        found = json_of(operator.clients.kube(CLOUD, "GET", path))
        found["subjects"] = [OPERATORS]
        answer = operator.clients.kube(CLOUD, "PUT", path, found)
        assert answer.status_code == 403
        assert "not currently held" in message_of(answer)


@pytest.mark.parametrize("kind", ["Role", "RoleBinding", "ClusterRole"])
def test_no_policy_has_roles_or_bindings_as_parameters(operator: Operator, kind: str) -> None:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    spec = {
        "paramKind": {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind},
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "true"}],
    }
    answer = operator.clients.kube(CLOUD, "POST", POLICIES, {"metadata": {"name": "reads"}, "spec": spec})
    assert answer.status_code == 422
    assert "must have" in message_of(answer)


def test_who_comes_with_a_judge_was_never_there_before_and_never_comes_again(
    operator: Operator, footprint: Footprint
) -> None:
    first = json_of(operator.clients.kube(CLOUD, "GET", BINDINGS))["metadata"]["resourceVersion"]
    footprint.settle()
    earlier = names_of(footprint.access("judge"))
    footprint.reset()
    with operator_of(footprint) as next_one:
        past = [
            next_one.clients.kube(CLOUD, "GET", BINDINGS, None, None, **options).text
            for options in (
                {},
                {"resourceVersion": first, "resourceVersionMatch": "Exact"},
                {"watch": "true", "resourceVersion": first, "timeoutSeconds": "1"},
            )
        ]
        assert earlier[0] in past[-1]  # history tells of who was there
        footprint.settle()
        now = names_of(footprint.access("judge"))
    assert len(now) == 3
    assert not set(now) & set(earlier)
    assert not [name for name in now if name in "".join(past)]


def test_newcomers_edit_what_operators_edit(operator: Operator, footprint: Footprint) -> None:
    assert footprint.settle()["tampered"] == []
    access = footprint.access("judge")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    with Clients(access) as judge:
        for namespace in platform().namespaces:
            for person in access.clouds[CLOUD].people:
                path = f"/api/v1/namespaces/{namespace}/pods"
                assert judge.kube(CLOUD, "POST", path, pod, person, dryRun="All").status_code == 201
    assert footprint.settle()["tampered"] == []  # what came with the judge is nobody's tampering


def test_a_policy_cannot_keep_the_cloud_from_saying_who_may_do_what(operator: Operator) -> None:
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "false"}]}
    bound = {"policyName": "lock", "validationActions": ["Deny"]}
    for path, content in ((POLICIES, spec), (f"{POLICIES.removesuffix('ies')}ybindings", bound)):
        answer = operator.clients.kube(CLOUD, "POST", path, {"metadata": {"name": "lock"}, "spec": content})
        assert answer.status_code == 201
    lab = Lab("zero-trust", operator.access)
    try:
        cloud = lab.cloud(CLOUD)
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "training"}}
        for _ in range(2000):
            if cloud.dry_run(settings).startswith("refused"):
                break
        assert cloud.dry_run(settings).startswith("refused")
        assert cloud.can("ml:auditors", "impersonate", "users")
        assert not cloud.can("nobody:here", "impersonate", "users")
        assert cloud.can("training/trainer", "create", "serviceaccounts/token", "serving")
    finally:
        lab.close()


def test_operators_never_reach_others_through_an_account(operator: Operator) -> None:
    """Accounts hold no more than operators: asked of the cloud for what would lead further."""
    lab = Lab("zero-trust", operator.access)
    try:
        cloud = lab.cloud(CLOUD)
        for workload in platform().workloads:
            who = f"{workload.namespace}/{workload.account}"
            for verb, resource in (
                ("escalate", "roles.rbac.authorization.k8s.io"),
                ("bind", "roles.rbac.authorization.k8s.io"),
                ("get", "pods/proxy"),
                ("create", "services/proxy"),
                ("list", "secrets"),
                ("get", "nodes/proxy"),
                ("impersonate", "users"),
            ):
                for namespace in ("", *platform().namespaces):
                    assert not cloud.can(who, verb, resource, namespace), json.dumps([who, verb, resource, namespace])
    finally:
        lab.close()
