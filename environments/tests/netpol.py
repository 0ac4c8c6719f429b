"""What NetworkPolicies allow, written down from Kubernetes' documentation alone: what `reach` is held against."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

Tree = Mapping[str, Any]


def verdict(document: Tree, source: str, target: str, port: Tree) -> str:
    """`a` where traffic is allowed, else which end refuses it: `e` egress, `i` ingress, `b` both."""
    out = _lets(document, "egress", source, target, target, port)
    into = _lets(document, "ingress", target, source, target, port)
    return "a" if out and into else "i" if out else "e" if into else "b"


def _lets(document: Tree, way: str, subject: str, peer: str, target: str, port: Tree) -> bool:
    """Whether the policies that isolate `subject` in one direction let `peer` through; what none isolates is open."""
    pod = document["pods"].get(subject)
    if pod is None:
        return True
    isolating = [
        policy
        for policy in document["policies"]
        if policy["metadata"]["namespace"] == pod["namespace"]
        and way.capitalize() in policy["spec"]["policyTypes"]
        and _selects(policy["spec"].get("podSelector"), pod["labels"])
    ]
    rules = [(policy, rule) for policy in isolating for rule in policy["spec"].get(way) or []]
    return not isolating or any(_rule_lets(document, way, *rule, peer, target, port) for rule in rules)


def _rule_lets(document: Tree, way: str, policy: Tree, rule: Tree, peer: str, target: str, port: Tree) -> bool:
    peers, ports = rule.get("from" if way == "ingress" else "to"), rule.get("ports")
    own = policy["metadata"]["namespace"]
    named = document["pods"].get(target, {}).get("ports", {}).get(f"{port['port']}/{port['protocol']}")
    return (not peers or any(_is_meant(document, one, own, peer) for one in peers)) and (
        not ports or any(_port_fits(one, port, named) for one in ports)
    )


def _is_meant(document: Tree, meant: Tree, own: str, peer: str) -> bool:
    pod = document["pods"].get(peer)
    if block := meant.get("ipBlock"):
        address = ip_address(pod["ip"] if pod else document["outside"][peer])
        inside = [address in ip_network(net, strict=False) for net in (block["cidr"], *(block.get("except") or ()))]
        return inside[0] and not any(inside[1:])
    if pod is None:
        return False
    spaces = meant.get("namespaceSelector")
    there = pod["namespace"] == own if spaces is None else _selects(spaces, pod["namespace_labels"])
    return there and _selects(meant.get("podSelector"), pod["labels"])


def _port_fits(meant: Tree, port: Tree, named: str | None) -> bool:
    if (meant.get("protocol") or "TCP") != port["protocol"]:
        return False
    first = meant.get("port")
    if isinstance(first, str):
        return first == named
    return first is None or first <= port["port"] <= meant.get("endPort", first)


def _selects(selector: Tree | None, labels: Mapping[str, str]) -> bool:
    """Absent and empty select everything; all that is said must hold."""
    said = selector or {}
    exact = all(key in labels and labels[key] == value for key, value in (said.get("matchLabels") or {}).items())
    return exact and all(_holds(one, labels) for one in said.get("matchExpressions") or ())


def _holds(one: Tree, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(one["key"]), one.get("values") or ()
    return {
        "In": value is not None and value in values,
        "NotIn": value is None or value not in values,  # also where the label is missing
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[one["operator"]]
