"""The crew: one pod for each pod that the probes of traffic are about. They do nothing; `ways` speaks from where they are.

Who is who is drawn anew at each turn within each namespace, and so are newcomers' labels: a policy that knows addresses
knows nothing. Roles stand in an annotation, since NetworkPolicies select by labels. Pods are written straight into etcd,
since a learner's admission policies could refuse them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from environments.cleanroom import etcd_state
from environments.errors import FootprintError
from environments.platform import CREW_STEM, DNS, DNS_LABELS, DNS_NAMESPACE, SYSTEM_NAMESPACE, platform
from environments.probes.pairs import NAMED_PORTS, Pod, network

IMAGE: Final = "registry.k8s.io/pause:3.10.2"
ROLE: Final = "mod209.io/crew"
TURN: Final = "mod209.io/turn"
SENTINEL: Final = "sentinel"
START_SECONDS: Final = 180.0
HEED_SECONDS: Final = 20.0
AGAIN_SECONDS: Final = 0.05
START_POLL_SECONDS: Final = 0.5  # a list of all pods is much to ask of a machine that starts them
Object = dict[str, Any]
Place = tuple[str, str]  # a pod's namespace and name


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Addresses of a cloud's crew by the names of `pairs.network`, and who the sentinel is."""

    ends: Mapping[str, str]
    sentinel: Object

    @property
    def watched(self) -> str:
        """The sentinel's address."""
        return _address(self.sentinel)


def enlist(keeper: httpx.Client, etcd: httpx.Client, node: str) -> Crew:
    """Make the crew whole on the only node of a cluster, and give out all roles anew.

    Raises:
        FootprintError: its pods do not start.
    """
    roles = list(_roles())
    places = _places(roles)
    known = _found(keeper)
    sound = {place for place, pod in known.items() if place in places and _is_sound(pod, node)}
    missing = {place: _new(place, node) for place in places - sound}
    gone = dict.fromkeys(known.keys() - sound)
    _write(etcd, gone)
    _write(etcd, missing)
    standing = _wait_running(keeper, places)
    cast = {place: _as_role(standing[place], role, node) for place, role in _cast(roles, places)}
    _write(etcd, cast)
    sentinel = cast.pop((SYSTEM_NAMESPACE, f"{CREW_STEM}0"))
    ends = {pod["metadata"]["annotations"][ROLE]: _address(pod) for pod in cast.values()}
    return Crew(ends={**ends, f"{DNS_NAMESPACE}/{DNS}": _dns(keeper)}, sentinel=sentinel)


def wait_enforced(etcd: httpx.Client, crew: Crew, is_open: Callable[[str], bool]) -> None:
    """Wait until what enforces policies has seen all pods and policies that were stored before this call.

    The sentinel gets a new label, and a policy selects by it: when these together have cut it off, all earlier changes of
    pods and of policies have been seen. `is_open` says whether an address can be reached from outside.

    Raises:
        FootprintError: it is not cut off, or could not be reached before.
    """
    _await(lambda: is_open(crew.watched), "No pod can be reached on")
    word = secrets.token_hex(8)
    marked = {**crew.sentinel, "metadata": {**crew.sentinel["metadata"], "labels": {TURN: word}}}
    _write(etcd, {(SYSTEM_NAMESPACE, f"{CREW_STEM}0"): marked})
    fence = f"/registry/networkpolicies/{SYSTEM_NAMESPACE}/{SENTINEL}".encode()
    etcd_state.write(etcd, {fence: etcd_state.stored(_fence(word))})
    try:
        _await(lambda: not is_open(crew.watched), "NetworkPolicies are not enforced on")
    finally:
        etcd_state.write(etcd, {fence: None})


def _roles() -> Iterator[Pod]:
    """Everybody of the network but DNS, which is there, and the sentinel. The seed makes newcomers' labels: nobody has it."""
    cloud = next(iter(platform().clouds))
    yield from (pod for pod in network(secrets.token_bytes(16), cloud).pods if pod.stands_for != DNS)
    yield Pod(name=SENTINEL, namespace=SYSTEM_NAMESPACE)


def _places(roles: list[Pod]) -> set[Place]:
    namespaces = [pod.namespace for pod in roles]
    return {(name, f"{CREW_STEM}{index}") for name in namespaces for index in range(namespaces.count(name))}


def _cast(roles: list[Pod], places: set[Place]) -> Iterator[tuple[Place, Pod]]:
    """Everybody's place, drawn within their namespace."""
    for namespace in {pod.namespace for pod in roles}:
        mine = [place for place in places if place[0] == namespace]
        secrets.SystemRandom().shuffle(mine)
        yield from zip(mine, (pod for pod in roles if pod.namespace == namespace), strict=True)


def _found(keeper: httpx.Client) -> dict[Place, Object]:
    items = keeper.get("/api/v1/pods").raise_for_status().json()["items"]
    named = {(pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in items}
    ours = {*platform().namespaces, SYSTEM_NAMESPACE, DNS_NAMESPACE, "default"}
    return {place: pod for place, pod in named.items() if place[0] in ours and place[1].startswith(CREW_STEM)}


def _is_sound(pod: Object, node: str) -> bool:
    """Whether a pod is one of ours that runs, or will; what a learner changed of its labels is put right anyway."""
    spec, meta = pod["spec"], pod["metadata"]
    kept = ROLE in meta.get("annotations", {}) and "deletionTimestamp" not in meta and "ownerReferences" not in meta
    ended = pod["status"].get("phase") in ("Succeeded", "Failed")
    images = [container["image"] for container in spec["containers"]]
    return kept and not ended and spec.get("nodeName") == node and images == [IMAGE] and "hostNetwork" not in spec


def _wait_running(keeper: httpx.Client, places: set[Place]) -> dict[Place, Object]:
    standing: dict[Place, Object] = {}

    def all_run() -> bool:
        standing.clear()
        standing.update({place: pod for place, pod in _found(keeper).items() if _runs(pod)})
        return places <= standing.keys()

    _await(all_run, "The pods that traffic is tried from do not start on", START_SECONDS, START_POLL_SECONDS)
    return standing


def _runs(pod: Object) -> bool:
    return bool(pod["status"].get("phase") == "Running" and _address(pod))


def _address(pod: Object) -> str:
    return str(pod["status"].get("podIP", ""))


def _dns(keeper: httpx.Client) -> str:
    """The address of a real DNS server."""
    selector = ",".join(f"{key}={value}" for key, value in DNS_LABELS.items())
    path = f"/api/v1/namespaces/{DNS_NAMESPACE}/pods"
    items = keeper.get(path, params={"labelSelector": selector}).raise_for_status().json()["items"]
    running = sorted(_address(pod) for pod in items if _runs(pod) and "ownerReferences" in pod["metadata"])
    if not running:
        raise FootprintError("No DNS server runs on the cluster.", hint="Run: mod209 down, then mod209 up.")
    return running[0]


def _new(place: Place, node: str) -> Object:
    namespace, name = place
    meta = {"name": name, "namespace": namespace, **etcd_state.born()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "annotations": {ROLE: ""}},
        "spec": _spec(node),
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def _spec(node: str) -> Object:
    ports = [{"name": name, "containerPort": port, "protocol": protocol} for port, protocol, name in NAMED_PORTS]
    container = {"name": "pause", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "ports": ports}
    return {
        "nodeName": node,
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "dnsPolicy": "Default",
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
    }


def _as_role(pod: Object, role: Pod, node: str) -> Object:
    """The pod with the labels of a role, and with nothing that anybody else has changed."""
    kept = {key: pod["metadata"][key] for key in ("name", "namespace", "uid", "creationTimestamp")}
    meta = {**kept, "labels": dict(role.labels), "annotations": {ROLE: role.name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _spec(node), "status": pod["status"]}


def _fence(word: str) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": SENTINEL, "namespace": SYSTEM_NAMESPACE, **etcd_state.born()},
        "spec": {"podSelector": {"matchLabels": {TURN: word}}, "policyTypes": ["Ingress"]},
    }


def _write(etcd: httpx.Client, pods: Mapping[Place, Object | None]) -> None:
    keys = {f"/registry/pods/{namespace}/{name}".encode(): pod for (namespace, name), pod in pods.items()}
    etcd_state.write(etcd, {key: etcd_state.stored(pod) if pod else None for key, pod in keys.items()})


def _await(what: Callable[[], bool], failing: str, seconds: float = HEED_SECONDS, every: float = AGAIN_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise FootprintError(
                f"{failing} a cluster.", hint="The machine may be overloaded. Run: mod209 down, then mod209 up."
            )
        time.sleep(every)
