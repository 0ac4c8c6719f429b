"""Who is on a cloud's network in the probes of traffic: workloads, and all those that must be kept from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final, Literal

from environments.params import token
from environments.platform import DATA_LABEL, DNS, DNS_LABELS, DNS_NAMESPACE, Workload, platform

Group = Literal[
    "self",
    "peers",
    "replica",
    "unlabelled",
    "newcomer",
    "imitators",
    "disguised",
    "strays",
    "dns",
    "outside",
    "metadata",
]
STRAY_NAMESPACE: Final = "default"
APP: Final = "app"
METADATA_SERVICE: Final = "169.254.169.254"
# What containers call their ports: all pods the same, so that a name tells no more than its number.
NAMED_PORTS: Final = (
    (53, "UDP", "dns"),
    (53, "TCP", "dns-tcp"),
    (8443, "TCP", "https"),
    (5000, "TCP", "registry"),
    (9090, "TCP", "metrics"),
)
UNDECLARED: Final = (
    (22, "TCP"),
    (443, "TCP"),
    (8080, "TCP"),
    (8443, "UDP"),
    (5000, "UDP"),
    (9090, "UDP"),
    (8443, "SCTP"),
)


@dataclass(frozen=True, kw_only=True)
class Pod:
    """One pod. `stands_for` is what flows call it (`namespace/account`, `dns`), empty where no flow is meant for it."""

    name: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    stands_for: str = ""


@dataclass(frozen=True, kw_only=True)
class Network:
    """Everybody on one cloud's network, the addresses outside of it by name, and the ports that are tried."""

    pods: tuple[Pod, ...]
    outside: Mapping[str, str]
    ports: tuple[tuple[int, str], ...]

    def group(self, group: Group, workload: Workload) -> list[str]:
        """Names of those who are `group` to one workload."""
        if group in ("outside", "metadata"):
            return [name for name in self.outside if (name == "metadata") == (group == "metadata")]
        return [pod.name for pod in self.pods if _is(group, pod, workload)]

    def pod(self, name: str) -> Pod | None:
        """The pod called `name`; None for an address outside."""
        return self._by_name.get(name)

    def needed(self, source: str, target: str) -> frozenset[tuple[int, str]]:
        """On which ports and protocols a flow of the platform goes that way."""
        return _needed().get((self._part(source), self._part(target)), frozenset())

    def undecided(self, source: str, target: str) -> frozenset[tuple[int, str]]:
        """Where nobody says how it must be: other pods of the platform's namespaces may have DNS, or not."""
        pod, dns = self.pod(source), self._part(target) == DNS
        return _dns_ports() if pod and dns and pod.namespace in platform().namespaces else frozenset()

    @cached_property
    def _by_name(self) -> dict[str, Pod]:
        return {pod.name: pod for pod in self.pods}

    def _part(self, name: str) -> str:
        pod = self.pod(name)
        return pod.stands_for if pod else ""


@cache
def network(seed: bytes, cloud: str) -> Network:
    """The network of `cloud`, with the names, labels, addresses and ports that `seed` draws."""
    number = [int(token(seed, "network", cloud, str(place)), 16) for place in range(4)]
    outside = {
        "internet": "198.51.100.7",
        "another address": f"203.0.113.{number[0] % 254 + 1}",
        "a private network": f"10.{number[1] % 128}.{number[1] % 251}.9",
        "an IPv6 address": "2001:db8::7",
        "metadata": METADATA_SERVICE,
    }
    declared = list(dict.fromkeys((flow.port, str(flow.protocol)) for flow in platform().needed))
    drawn = (10000 + number[2] % 50000, "TCP"), (10000 + number[3] % 50000, "UDP")
    return Network(pods=tuple(_pods(seed, cloud)), outside=outside, ports=(*declared, *UNDECLARED, *drawn))


def _pods(seed: bytes, cloud: str) -> Iterator[Pod]:
    everyone = platform().workloads
    word = token(seed, "newcomer", cloud)
    for own in everyone:
        data = {DATA_LABEL: own.data}
        for name in (own.name, f"{own.name} (replica)"):
            yield Pod(name=name, namespace=own.namespace, labels={APP: own.account, **data}, stands_for=own.name)
        yield Pod(name=f"{own.namespace}/without labels", namespace=own.namespace)
        yield Pod(name=f"{own.namespace}/newcomer", namespace=own.namespace, labels={APP: word, **data})
        for other in everyone:
            if other != own:
                labels = {APP: other.account, **data}
                yield Pod(name=f"{own.namespace}/app={other.account}", namespace=own.namespace, labels=labels)
        yield Pod(
            name=f"{STRAY_NAMESPACE}/app={own.account}",
            namespace=STRAY_NAMESPACE,
            labels={APP: own.account, **data, "kubernetes.io/metadata.name": own.namespace},
        )
    yield Pod(name=f"{STRAY_NAMESPACE}/without labels", namespace=STRAY_NAMESPACE)
    yield Pod(name=f"{STRAY_NAMESPACE}/k8s-app=kube-dns", namespace=STRAY_NAMESPACE, labels=DNS_LABELS)
    yield Pod(name=f"{DNS_NAMESPACE}/without labels", namespace=DNS_NAMESPACE)
    yield Pod(name=f"{DNS_NAMESPACE}/dns", namespace=DNS_NAMESPACE, labels=DNS_LABELS, stands_for=DNS)


def _is(group: Group, pod: Pod, workload: Workload) -> bool:  # noqa: PLR0911 - one answer a group
    here, app = pod.namespace == workload.namespace, pod.labels.get(APP)
    known = {peer.account for peer in platform().workloads}
    match group:
        case "self":
            return pod.name == workload.name
        case "replica":
            return pod.stands_for == workload.name and pod.name != workload.name
        case "peers":
            return pod.stands_for not in ("", DNS, workload.name)
        case "unlabelled":
            return here and not pod.labels
        case "newcomer":
            return here and app is not None and app not in known
        case "imitators":
            return here and app in known and not pod.stands_for
        case "disguised":
            others = pod.namespace in platform().namespaces and not here
            return others and app in known and not pod.stands_for
        case "strays":
            return pod.namespace in (STRAY_NAMESPACE, DNS_NAMESPACE) and not pod.stands_for
        case _:
            return pod.stands_for == DNS


@cache
def _needed() -> dict[tuple[str, str], frozenset[tuple[int, str]]]:
    ends = {(flow.source, flow.target) for flow in platform().needed}
    return {
        pair: frozenset((f.port, f.protocol) for f in platform().needed if (f.source, f.target) == pair)
        for pair in ends
    }


@cache
def _dns_ports() -> frozenset[tuple[int, str]]:
    return frozenset((flow.port, flow.protocol) for flow in platform().needed if flow.target == DNS)
