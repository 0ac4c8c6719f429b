"""Probes of traffic: what the NetworkPolicies that a cloud stores let through, all pairs and ports at once.

On provider `kind` each way is tried between real pods by `ways`, our program on the node. On provider `local` no packet
flows: the policies are read back through the API and interpreted by `reach`, our program around cyclonus. What they do not
answer wholly and clearly is not asked at all, never allowed or refused.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from environments.platform import DNS, platform
from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.kinds.traffic import ReachProbe
from environments.probes.observation import ALLOWED, REFUSED, BrokenError, Finding, UnreachableError, brief
from environments.probes.pairs import NAMED_PORTS, Group, Network, Pod, network
from environments.probes.ways import SHUT, UNTRIED, try_ways
from environments.probes.wire import Wire

SECONDS: Final = 20.0
MOST_POLICIES: Final = 500  # the platform needs a dozen or two; thousands would only keep the interpreter busy
MOST_BYTES: Final = 1 << 20
OPEN: Final = "a"
REFUSERS: Final = {
    "e": "refused at the source (egress)",
    "i": "refused at the target (ingress)",
    "b": "refused at both",
    SHUT: "does not get through",
}
SHOWN: Final = 3
Verdicts = Mapping[str, Mapping[str, str]]  # from -> to -> one letter a port


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way through the network, and what becomes of traffic on it: a letter of `reach`."""

    source: str
    target: str
    port: int
    protocol: str
    letter: str

    def __str__(self) -> str:
        return f"{self.source} → {self.target} {self.port}/{self.protocol}"


def ask_reach(probe: ReachProbe, case: Case, wire: Wire) -> Finding:
    """Look up all ways that the probe is about.

    That some are refused counts only where what is needed is open, and that some are open only where any is refused.
    """
    plan, verdicts = wire.once(("reach", case.cloud), lambda: _ask(case.cloud, wire))
    ways = [way for way in _ways(probe, case, plan, verdicts) if way.letter != UNTRIED]
    if not ways:
        raise UnreachableError("No connection of this kind can be tried on this machine.")
    request = f"{case.workload.name} of {case.cloud}: {_words(probe.source)} → {_words(probe.target)}, {len(ways)} ways"
    if probe.expect == ALLOWED:
        if not _decided(case, plan, verdicts):
            detail = "Every way to and from the workload is open, so nobody has decided that these should be."
            return Finding(request=request, expected=ALLOWED, got="not usable", detail=detail, ok=False)
        shut = [way for way in ways if way.letter != OPEN]
        return _finding(probe, request, ALLOWED if not shut else REFUSED, shut)
    if not _in_use(plan, verdicts):
        detail = "Most of what workloads need of each other is refused too, so a refusal says nothing."
        return Finding(request=request, expected=REFUSED, got="not usable", detail=detail, ok=False)
    through = [way for way in ways if way.letter == OPEN]
    return _finding(probe, request, REFUSED if not through else ALLOWED, through)


def _finding(probe: ReachProbe, request: str, got: str, wrong: list[Way]) -> Finding:
    shown = [f"{way} {REFUSERS.get(way.letter, 'is open')}" for way in wrong[:SHOWN]]
    detail = "; ".join(shown) + (f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
    return Finding(request=request, expected=probe.expect, got=got, detail=detail, ok=not wrong)


def _ways(probe: ReachProbe, case: Case, plan: Network, verdicts: Verdicts) -> Iterator[Way]:
    """Those needed if the probe expects them allowed, else all others between its groups."""
    for source, target in _pairs(probe, case, plan):
        needed, undecided = plan.needed(source, target), plan.undecided(source, target)
        for (port, protocol), letter in zip(plan.ports, verdicts[source][target], strict=True):
            of_need = (port, protocol) in needed
            fits = of_need if probe.expect == ALLOWED else not of_need and (port, protocol) not in undecided
            if fits:
                yield Way(source=source, target=target, port=port, protocol=protocol, letter=letter)


def _pairs(probe: ReachProbe, case: Case, plan: Network) -> Iterator[tuple[str, str]]:
    for source in _members(probe.source, case, plan):
        for target in _members(probe.target, case, plan):
            if source != target and (plan.pod(source) or plan.pod(target)):
                yield source, target


def _members(groups: list[Group], case: Case, plan: Network) -> list[str]:
    return [name for group in groups for name in plan.group(group, case.workload)]


def _in_use(plan: Network, verdicts: Verdicts) -> bool:
    """Whether most of what workloads need of each other is open on the cloud."""
    names = {pod.stands_for: pod.name for pod in reversed(plan.pods) if pod.stands_for}
    flows = [flow for flow in platform().needed if flow.target != DNS]
    letters = [
        verdicts[names[flow.source]][names[flow.target]][plan.ports.index((flow.port, flow.protocol))] for flow in flows
    ]
    return 2 * letters.count(OPEN) > len(letters) - letters.count(UNTRIED)


def _decided(case: Case, plan: Network, verdicts: Verdicts) -> bool:
    """Whether anything is refused that comes from the workload or goes to it."""
    [own] = plan.group("self", case.workload)
    letters = [*verdicts[own].values(), *(row[own] for name, row in verdicts.items() if name != own)]
    return not {*"".join(letters)} <= {OPEN, UNTRIED}


def _words(groups: list[Group]) -> str:
    return ", ".join(groups)


def _ask(cloud: str, wire: Wire) -> tuple[Network, Verdicts]:
    plan = network(wire.seed, cloud)
    if ways := wire.access.clouds[cloud].ways:
        ends = {pod.name: ways.ends.get(pod.name, "") for pod in plan.pods}
        return plan, try_ways(ways, ends, plan.outside, plan.ports)
    document = {
        "policies": [policy for name in platform().namespaces for policy in _policies(cloud, name, wire)],
        "pods": {pod.name: _described(index, pod, _labels(cloud, wire)) for index, pod in enumerate(plan.pods)},
        "outside": plan.outside,
        "ports": [{"port": port, "protocol": protocol} for port, protocol in plan.ports],
    }
    names = [pod.name for pod in plan.pods] + list(plan.outside)
    return plan, interpret(wire.access.reach, document, names)


def interpret(program: str, document: Mapping[str, Any], names: list[str]) -> Verdicts:
    """What becomes of traffic between all of `names`, as `reach` says it.

    Raises:
        BrokenError: there are more policies than it is asked about.
        UnreachableError: it is not there, fails, or does not give every answer.
    """
    asked = json.dumps(document).encode()
    if len(document["policies"]) > MOST_POLICIES or len(asked) > MOST_BYTES:
        raise BrokenError(f"There are more NetworkPolicies than anybody could review: {len(document['policies'])}.")
    try:
        # Nothing of the environment: a Go program obeys some of it.
        ended = subprocess.run([program], input=asked, capture_output=True, timeout=SECONDS, env={}, check=True)
        matrix = json.loads(ended.stdout)["matrix"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise UnreachableError(f"Nothing here can tell what NetworkPolicies allow: {type(error).__name__}.") from None
    if not _is_whole(matrix, names, len(document["ports"])):
        raise UnreachableError("What NetworkPolicies allow was not told wholly.")
    verdicts: Verdicts = matrix
    return verdicts


def _is_whole(matrix: Any, names: list[str], ports: int) -> bool:
    if not isinstance(matrix, dict) or matrix.keys() != set(names):
        return False
    rows = list(matrix.values())
    if not all(isinstance(row, dict) and row.keys() == matrix.keys() for row in rows):
        return False
    letters = {OPEN, "e", "i", "b"}
    cells = [cell for row in rows for cell in row.values()]
    return all(isinstance(cell, str) and len(cell) == ports and set(cell) <= letters for cell in cells)


def _policies(cloud: str, namespace: str, wire: Wire) -> list[dict[str, Any]]:
    """The policies of a namespace as stored now, reduced to what decides."""
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    found = _items(wire.clients.kube(cloud, "GET", path), f"policies of {namespace} on {cloud}")
    return [
        {"metadata": {"name": one["metadata"]["name"], "namespace": namespace}, "spec": one["spec"]} for one in found
    ]


def _labels(cloud: str, wire: Wire) -> dict[str, dict[str, str]]:
    """The labels of every namespace of a cloud."""

    def ask() -> dict[str, dict[str, str]]:
        found = _items(wire.clients.kube(cloud, "GET", "/api/v1/namespaces"), f"namespaces of {cloud}")
        return {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in found}

    return wire.once(("namespaces", cloud), ask)


def _items(answer: httpx.Response, what: str) -> list[dict[str, Any]]:
    items = json_of(answer).get("items")
    if answer.is_error or not isinstance(items, list):
        raise UnreachableError(f"The {what} cannot be read: {brief(message_of(answer))}")
    return items


def _described(index: int, pod: Pod, labels: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    if pod.namespace not in labels:
        raise UnreachableError(f"There is no namespace {pod.namespace}.")
    return {
        "namespace": pod.namespace,
        "namespace_labels": labels[pod.namespace],
        "labels": dict(pod.labels),
        "ip": f"10.244.{index // 200 + 1}.{index % 200 + 10}",
        "ports": {f"{port}/{protocol}": name for port, protocol, name in NAMED_PORTS},
    }
