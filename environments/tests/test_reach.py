"""`reach` agrees with a second reading of Kubernetes' documentation, and says nothing about what it does not understand."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from environments.probes.observation import BrokenError, UnreachableError
from environments.probes.reachability import MOST_POLICIES, interpret
from environments.tests.netpol import verdict
from environments.toolchain import locate

CASES = json.loads(Path(__file__).with_name("cyclonus-cases.json").read_text())
KEYS, VALUES = ("pod", "ns", "tier"), ("a", "b", "")
PORTS = [{"port": port, "protocol": kind} for kind in ("TCP", "UDP", "SCTP") for port in (53, 80, 81)]
pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def program() -> str:
    """Our interpreter, as it was built here."""
    tool = locate("reach")
    assert tool is not None, "run: mod209 tools --fetch"
    return str(tool.path)


def world(policies: list[Any]) -> dict[str, Any]:
    """Nine pods as cyclonus' generator wants them, some with odd labels, and addresses outside."""
    names = {f"{port['port']}/{port['protocol']}": f"serve-{port['port']}-{port['protocol']}".lower() for port in PORTS}
    pods = {
        f"{space}/{name}": {
            "namespace": space,
            "namespace_labels": {"ns": space, "kubernetes.io/metadata.name": space},
            "labels": {"pod": name} | ({"tier": ""} if name == "b" else {}),
            "ip": f"10.244.{row}.{10 + place}",
            "ports": names,
        }
        for row, space in enumerate("xyz")
        for place, name in enumerate("abc")
    }
    pods["x/none"] = {**pods["x/a"], "labels": {}, "ip": "10.244.0.99"}
    outside = {"internet": "198.51.100.7", "metadata": "169.254.169.254", "six": "2001:db8::7"}
    return {"policies": policies, "pods": pods, "outside": outside, "ports": PORTS}


def disagreements(program: str, policies: list[Any]) -> list[str]:
    """Every way on which `reach` and the second reading differ."""
    document = world(policies)
    names = [*document["pods"], *document["outside"]]
    matrix = interpret(program, document, names)
    return [
        f"{source} -> {target} {port}: {letter}"
        for source in names
        for target in names
        for port, letter in zip(PORTS, matrix[source][target], strict=True)
        if letter != verdict(document, source, target, port)
    ]


def test_both_agree_on_the_cases_of_cyclonus_generator(program: str) -> None:
    assert len(CASES) >= 100
    assert {index: wrong for index, case in enumerate(CASES) if (wrong := disagreements(program, case))} == {}


labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2)
values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=2, unique=True)
expressions = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(KEYS),
        st.sampled_from(["In", "NotIn"]),
        values,
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(KEYS),
        st.sampled_from(["Exists", "DoesNotExist"]),
    ),
)
selectors = st.fixed_dictionaries(
    {}, optional={"matchLabels": labels, "matchExpressions": st.lists(expressions, max_size=2)}
)
blocks = st.sampled_from(
    [
        {"cidr": "0.0.0.0/0"},
        {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "10.0.0.0/8"]},
        {"cidr": "10.244.0.0/24", "except": ["10.244.0.10/32"]},
        {"cidr": "2001:db8::/32"},
    ]
)
pods_meant = st.fixed_dictionaries({"podSelector": selectors}, optional={"namespaceSelector": selectors})
peers = st.one_of(
    pods_meant,
    st.fixed_dictionaries({"namespaceSelector": selectors}),
    st.fixed_dictionaries({"ipBlock": blocks}),
)
protocols = st.sampled_from(["TCP", "UDP", "SCTP"])
ports = st.one_of(
    st.fixed_dictionaries({"protocol": protocols}, optional={"port": st.sampled_from([53, 80, 81, "serve-80-tcp"])}),
    st.just({"protocol": "TCP", "port": 60, "endPort": 80}),
    st.just({"port": 80}),
)


def rules(side: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rules of one direction."""
    optional = {side: st.lists(peers, max_size=2), "ports": st.lists(ports, max_size=2)}
    return st.lists(st.fixed_dictionaries({}, optional=optional), max_size=2)


specs = st.fixed_dictionaries(
    {
        "podSelector": selectors,
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
        "ingress": rules("from"),
        "egress": rules("to"),
    }
)
policies = st.builds(
    lambda namespace, spec: {"metadata": {"name": "p", "namespace": namespace}, "spec": spec},
    st.sampled_from(["x", "y"]),
    specs,
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(policies, min_size=1, max_size=4))
def test_both_agree_on_any_policies(program: str, drawn: list[Any]) -> None:
    assert disagreements(program, drawn) == []


ANY: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "x"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


@pytest.mark.parametrize(
    "change",
    [
        {"policies": [{**ANY, "spec": {**ANY["spec"], "futureField": True}}]},
        {"policies": [{**ANY, "spec": {"podSelector": {}}}]},
        {"policies": [{**ANY, "spec": {**ANY["spec"], "ingress": [{"from": [{"ipBlock": {"cidr": "nonsense"}}]}]}}]},
        {"policies": [None]},
        {"outside": {"internet": "nowhere"}},
        {"ports": [{"port": 80, "protocol": "ICMP"}]},
        {"ports": [{"port": 0, "protocol": "TCP"}]},
        {"questions": []},
    ],
)
def test_what_is_not_understood_gets_no_verdict(program: str, change: dict[str, Any]) -> None:
    document = {**world([]), **change}
    with pytest.raises(UnreachableError):
        interpret(program, document, [*document["pods"], *document["outside"]])


def test_two_documents_are_one_too_many(program: str) -> None:
    twice = json.dumps(world([])) * 2
    ended = subprocess.run([program], input=twice, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")


def test_a_missing_program_is_nobodys_fault_but_ours() -> None:
    with pytest.raises(UnreachableError):
        interpret("", world([]), [])


@pytest.mark.parametrize(
    "said",
    ["", "{}", '{"matrix": 1}', '{"matrix": {"a": {"a": "a"}}}', '{"matrix": {"a": {"a": "?"}, "b": {"a": "a"}}}'],
)
def test_an_answer_that_is_not_whole_counts_for_nothing(said: str, tmp_path: Path) -> None:
    fake = tmp_path / "reach"
    fake.write_text(f"#!/bin/sh\necho '{said}'\n")
    fake.chmod(0o755)
    with pytest.raises(UnreachableError):
        interpret(str(fake), {"policies": [], "ports": [{}]}, ["a", "b"])


def test_thousands_of_policies_are_the_learners_fault(program: str) -> None:
    with pytest.raises(BrokenError, match="more NetworkPolicies"):
        interpret(program, world([copy.deepcopy(ANY)] * (MOST_POLICIES + 1)), [])
