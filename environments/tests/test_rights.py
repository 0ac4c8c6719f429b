"""The table of needs, what is dangerous beyond it, and what the last team left: as data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from environments.baseline.legacy import cluster_bindings, legacy
from environments.cleanroom.etcd_state import learner_domain
from environments.platform import platform
from environments.probes.dangers import Granted, granted, kinds, needs_of
from environments.probes.rights import places
from environments.rights import VERBS, Ask, Need, ask_of, persona

BASELINE = Path(__file__).parents[1] / "baseline"
WORD = st.from_regex(r"[a-z]{1,9}", fullmatch=True)
EVERYBODY = ("system:authenticated", "system:serviceaccounts", "system:serviceaccounts:training")


def one(verb: str, resource: str, namespace: str = "training", name: str = "") -> Granted:
    return Granted(**ask_of(verb, resource, namespace, name).__dict__)


@given(plural=WORD, group=st.one_of(st.just(""), WORD.map("{}.k8s.io".format)), sub=st.one_of(st.just(""), WORD))
def test_a_resource_is_written_as_it_is_read(plural: str, group: str, sub: str) -> None:
    text = plural + (f".{group}" if group else "") + (f"/{sub}" if sub else "")
    ask = ask_of("get", text, "training", "x")
    assert str(ask) == f"get {text} x in training"
    assert ask.attributes() == {
        "verb": "get",
        "group": group,
        "resource": plural,
        "subresource": sub,
        "namespace": "training",
        "name": "x",
    }


@pytest.mark.parametrize("text", ["", "/log", ".apps", "pods/log/x"])
def test_what_is_no_resource_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no resource"):
        ask_of("get", text)


@given(who=st.sampled_from([need.who for need in platform().needs]), data=st.data())
def test_what_the_table_gives_is_never_beyond_it_and_nothing_else_is_within(who: str, data: st.DataObject) -> None:
    ask = data.draw(st.sampled_from(needs_of(who)))
    assert granted(who, ask)
    other = data.draw(st.sampled_from([need.who for need in platform().needs]))
    assert granted(other, ask) == (ask in needs_of(other) or Ask(**ask.__dict__ | {"name": ""}) in needs_of(other))
    assert not granted(who, Ask(**ask.__dict__ | {"namespace": "kube-system"}))
    if ask.name:  # the right to one object is not the right to all
        assert not granted(who, Ask(**ask.__dict__ | {"name": ""})) or Ask(**ask.__dict__ | {"name": ""}) in needs_of(
            who
        )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (one("delete", "pods"), {"excess"}),
        (one("list", "configmaps"), {"excess"}),
        (one("create", "serviceaccounts/token"), {"escalation"}),
        (one("bind", "clusterroles.rbac.authorization.k8s.io"), {"escalation"}),
        (one("patch", "rolebindings.rbac.authorization.k8s.io"), {"escalation"}),
        (one("impersonate", "groups"), {"escalation"}),
        (one("update", "certificatesigningrequests.certificates.k8s.io/approval"), {"escalation"}),
        (one("get", "nodes/proxy"), {"intrusion"}),
        (one("list", "secrets"), {"intrusion"}),
        (one("create", "jobs.batch", "serving"), {"intrusion"}),
        (one("patch", "deployments.apps", "serving"), {"intrusion"}),
        (one("create", "*/exec"), {"intrusion"}),
        (one("get", "pods/*"), {"excess"}),
        (one("*", "jobs.batch"), {"intrusion", "excess"}),
        (one("get", "*"), {"intrusion", "excess"}),
        (
            Granted(verb="*", group="*", resource="*", name="", namespace="training"),
            {"escalation", "intrusion", "excess"},
        ),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else str(value),  # a set has no order
)
def test_each_right_beyond_the_table_has_its_kind(right: Granted, wrong: set[str]) -> None:
    assert kinds("ml:data-scientists", right) == wrong


def test_what_the_table_gives_is_no_danger() -> None:
    assert not granted("ml:on-call", ask_of("patch", "deployments.apps", "serving"))
    assert kinds("ml:release-managers", one("patch", "deployments.apps", "serving")) == {"excess"}
    assert kinds("ml:on-call", one("patch", "deployments.apps", "serving")) == {"intrusion"}


def test_nobody_needs_a_danger_but_to_run_and_change_workloads() -> None:
    rights = {(need.who, str(ask)) for need in platform().needs for ask in need.asks()}
    risky = [
        (who, text)
        for who, text in rights
        if re.search(r"secret|token|exec|attach|forward|proxy|impersonate|bind ", text)
    ]
    assert risky == []
    with pytest.raises(ValidationError, match="nobody's task needs escalate"):
        Need.model_validate(
            {"who": "x", "why": "y", "rights": [{"namespaces": ["a"], "resources": ["b"], "verbs": ["escalate"]}]}
        )


@pytest.mark.parametrize(
    ("who", "user", "groups"),
    [
        (
            "training/trainer",
            "system:serviceaccount:training:trainer",
            {"system:serviceaccounts", "system:serviceaccounts:training", "system:authenticated"},
        ),
        ("ml:auditors", "somebody", {"ml:auditors", "system:authenticated"}),
        ("somebody", "somebody", {"system:authenticated"}),
        ("system:authenticated", "somebody", {"system:authenticated"}),
        ("anonymous", "system:anonymous", {"system:unauthenticated"}),
    ],
)
def test_an_api_server_sees_each_subject_as_it_is(who: str, user: str, groups: set[str]) -> None:
    assert persona(who)[0] == user
    assert set(persona(who)[1]) == groups


def test_places_are_namespaces_or_the_cluster() -> None:
    everywhere = platform().namespaces
    assert places(["each"], "ml:x") == everywhere
    assert places(["own"], "training/trainer") == ["training"]
    assert places(["others", "training"], "training/trainer") == [*everywhere[1:], "training"]
    assert places(["cluster", "kube-system"], "x") == ["", "kube-system"]


def test_operators_reach_in_the_cluster_just_what_was_left() -> None:
    documents = list(yaml.safe_load_all((BASELINE / "rbac.yaml").read_text()))
    rules: list[dict[str, Any]] = next(d for d in documents if d and d["metadata"]["name"] == "mod209:operator")[
        "rules"
    ]
    named = {
        (rule["resources"][0], tuple(rule["verbs"])): rule["resourceNames"] for rule in rules if "resourceNames" in rule
    }
    assert named == {
        ("clusterroles", ("get",)): [grant.name for grant in legacy().cluster_roles],
        ("clusterrolebindings", ("delete",)): cluster_bindings(),
    }


def test_power_over_a_cloud_is_left_to_people_alone_whom_nobody_can_become() -> None:
    for grant in (*legacy().roles, *legacy().cluster_roles):
        if all(who.startswith(("ml:", "contractors:")) for who in grant.subjects):
            continue
        for rule in grant.rules:
            assert "*" not in rule["apiGroups"] + rule["resources"]
            assert not {"bind", "escalate", "impersonate", "approve"} & set(rule["verbs"])
            assert not [what for what in rule["resources"] if what.endswith("/proxy") or what == "secrets"]
            if set(grant.subjects) & set(EVERYBODY) or not grant.namespace:
                # Operators are of everybody too: who may read bindings everywhere can make them a policy's parameter.
                assert "rbac.authorization.k8s.io" not in rule["apiGroups"]
                assert set(rule["verbs"]) <= VERBS


@pytest.mark.parametrize(
    ("key", "learners"),
    [
        ("/registry/roles/training/legacy-pipeline", True),
        ("/registry/rolebindings/features/mine", True),
        ("/registry/clusterrolebindings/legacy:viewers", True),
        ("/registry/clusterrolebindings/legacy:viewers-2", False),
        ("/registry/clusterrolebindings/mod209:operator", False),
        ("/registry/clusterroles/legacy:viewer", False),
        ("/registry/rolebindings/training/mod209:operator", False),
        ("/registry/rolebindings/training/mod209:team", False),
        ("/registry/roles/training/mod209:x", False),
        ("/registry/rolebindings/kube-system/mine", False),
        ("/registry/pods/training/mod209:x", True),
    ],
)
def test_learners_may_change_roles_that_are_not_ours(key: str, learners: bool) -> None:
    assert bool(learner_domain().match(key)) is learners
