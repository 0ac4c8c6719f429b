"""What the model says of policies is what becomes of real connections between the pods of a real cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import yaml

from environments.cleanroom.endpoint import Endpoint
from environments.footprint import Footprint
from environments.kind import crew
from environments.pki import Authority
from environments.platform import CREW_STEM, platform
from environments.probes.observation import UnreachableError
from environments.probes.pairs import network
from environments.probes.reachability import Verdicts, interpret
from environments.probes.ways import OPEN, UNTRIED, is_open, try_ways
from environments.tests.real_policies import Generator, Policy, policies_of, reference, variants
from environments.tests.tier import THOROUGH, some
from environments.toolchain import locate

POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
PLAN = network(b"test_ways", "aws")
SETS, SIZE = 3, 34  # a hundred policies
pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.clusters]


class Cluster:
    """One cloud of a footprint, with its crew, as the footprint itself goes to it."""

    def __init__(self, footprint: Footprint, cloud: str) -> None:
        self._folder = footprint.directory / cloud
        config = yaml.safe_load((self._folder / "kind.yaml").read_text())
        mapped = {one["containerPort"]: one["hostPort"] for one in config["nodes"][0]["extraPortMappings"]}
        self._clients = ExitStack()
        self.keeper = self._client(config["networking"]["apiServerPort"], "kube-ca.crt", "keeper")
        self.etcd = self._client(mapped[2379], "etcd-ca.crt", "etcd-client")
        [node] = self.keeper.get("/api/v1/nodes").json()["items"]
        self.node = node["metadata"]["name"]
        found = footprint.access("judge").clouds[cloud].ways
        assert found is not None
        self.ways = found
        self.crew = crew.enlist(self.keeper, self.etcd, self.node)

    def close(self) -> None:
        """Close its clients."""
        self._clients.close()

    def _client(self, port: int, ca: str, pair: str) -> httpx.Client:
        files = (self._folder / f"{pair}.crt", self._folder / f"{pair}.key")
        endpoint = Endpoint(url=f"https://127.0.0.1:{port}", ca=self._folder / ca, cert=files[0], key=files[1])
        return self._clients.enter_context(endpoint.client(timeout=30))

    def apply(self, policies: list[Policy]) -> list[Policy]:
        """Store these policies and no others, wait until they are enforced, and give them as they are stored."""
        for one in self.keeper.get(POLICIES).json()["items"]:
            self.keeper.delete(f"{_collection(one)}/{one['metadata']['name']}").raise_for_status()
        for one in policies:
            self.keeper.post(_collection(one), json=one).raise_for_status()
        stored = self.keeper.get(POLICIES).json()["items"]
        crew.wait_enforced(self.etcd, self.crew, partial(is_open, self.ways))
        kept = ("name", "namespace")
        return [{"metadata": {k: one["metadata"][k] for k in kept}, "spec": one["spec"]} for one in stored]

    def pods(self) -> dict[str, Any]:
        """The crew and DNS as the model wants them, with what the cluster says of them."""
        spaces = self.keeper.get("/api/v1/namespaces").json()["items"]
        labels = {space["metadata"]["name"]: space["metadata"]["labels"] for space in spaces}
        pods = {pod["status"].get("podIP"): pod for pod in self.keeper.get("/api/v1/pods").json()["items"]}
        return {name: _described(pods[address], labels) for name, address in self.crew.ends.items()}


def _collection(policy: Policy) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{policy['metadata']['namespace']}/networkpolicies"


def _described(pod: dict[str, Any], spaces: dict[str, Any]) -> dict[str, Any]:
    meta = pod["metadata"]
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
    return {
        "namespace": meta["namespace"],
        "namespace_labels": spaces[meta["namespace"]],
        "labels": meta.get("labels", {}),
        "ip": pod["status"]["podIP"],
        "ports": {f"{port['containerPort']}/{port['protocol']}": port["name"] for port in ports},
    }


@pytest.fixture(scope="module")
def cluster(kind_footprint: Footprint) -> Iterator[Cluster]:
    """One cloud of the footprint, for all tests of this file."""
    kind_footprint.reset()
    one = Cluster(kind_footprint, "aws")
    yield one
    one.close()
    kind_footprint.reset()


def model(cluster: Cluster, stored: list[Policy]) -> Verdicts:
    """What the model says of all ways, under policies as they are stored."""
    ports = [{"port": port, "protocol": protocol} for port, protocol in PLAN.ports]
    document = {"policies": stored, "pods": cluster.pods(), "outside": PLAN.outside, "ports": ports}
    program = locate("reach")
    assert program is not None
    return interpret(str(program.path), document, [*(pod.name for pod in PLAN.pods), *PLAN.outside])


def differences(
    cluster: Cluster, policies: list[Policy], among: Callable[[Verdicts], set[str]] | None = None
) -> list[str]:
    """Every way that can be tried and on which model and reality differ; that many were tried is asserted.

    Between all pods, or `among` some, and all addresses outside.
    """
    said = model(cluster, cluster.apply(policies))
    names = among(said) if among else {pod.name for pod in PLAN.pods}
    ends = {pod.name: cluster.crew.ends[pod.name] for pod in PLAN.pods if pod.name in names}
    real = try_ways(cluster.ways, ends, PLAN.outside, PLAN.ports)
    tried = [
        (source, target, port, letter, said[source][target][index])
        for source, row in real.items()
        for target, cell in row.items()
        for index, (port, letter) in enumerate(zip(PLAN.ports, cell, strict=True))
        if letter != UNTRIED
    ]
    assert len(tried) > (1_000 if among else 30_000)
    return [str(one) for one in tried if (one[3] == OPEN) != (one[4] == OPEN)]


def concerned(said: Verdicts, usual: Verdicts, others: Random) -> set[str]:
    """Whoever has a way that is not as usual, and a dozen others: so as not to try each way with each variant."""
    changed = {
        end for one in said for other in said[one] if said[one][other] != usual[one][other] for end in (one, other)
    }
    return changed | set(others.sample(sorted(pod.name for pod in PLAN.pods), 12))


def test_without_policies_every_way_that_can_be_tried_is_open(cluster: Cluster) -> None:
    assert differences(cluster, []) == []


def test_the_reference_does_what_the_model_says(cluster: Cluster, tmp_path: Path) -> None:
    policies = policies_of(reference(), tmp_path)
    assert len(policies) == 2 * len(platform().workloads)
    assert differences(cluster, policies) == []


def test_every_variant_does_what_the_model_says(cluster: Cluster, tmp_path: Path) -> None:
    usual = model(cluster, cluster.apply(policies_of(reference(), tmp_path)))
    made = {name: policies_of(cells, tmp_path) for name, cells in some(list(variants()), 2)}
    assert len(made) > (10 if THOROUGH else 5)
    wrong = {
        name: differences(cluster, policies, partial(concerned, usual=usual, others=Random(name)))
        for name, policies in made.items()
    }
    assert {name: found for name, found in wrong.items() if found} == {}


def test_random_policies_do_what_the_model_says(cluster: Cluster) -> None:
    addresses = [*list(PLAN.outside.values())[:3], *list(cluster.crew.ends.values())[:5]]
    generator = Generator(209, list(PLAN.ports), addresses)
    wrong = {number: differences(cluster, generator.policies(SIZE)) for number in range(SETS)}
    assert {number: found for number, found in wrong.items() if found} == {}


def test_the_crew_is_made_whole_and_given_new_roles(cluster: Cluster) -> None:
    before, namespace = dict(cluster.crew.ends), platform().namespaces[0]
    path = f"/api/v1/namespaces/{namespace}/pods/{CREW_STEM}0"
    cluster.keeper.delete(path, params={"gracePeriodSeconds": "0"}).raise_for_status()
    patch = {"metadata": {"labels": {"app": "spoilt"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    cluster.keeper.patch(path.replace("-0", "-1"), json=patch, headers=headers).raise_for_status()
    cluster.crew = crew.enlist(cluster.keeper, cluster.etcd, cluster.node)
    assert cluster.crew.ends.keys() == before.keys()
    assert cluster.crew.ends != before
    pods = cluster.pods()
    assert all(
        pods[pod.name]["labels"] == dict(pod.labels) for pod in PLAN.pods if pod.stands_for and pod.stands_for != "dns"
    )


def test_nobody_asks_without_a_certificate_of_the_footprint(cluster: Cluster) -> None:
    stranger = Authority("somebody else").client("judge")
    with pytest.raises(UnreachableError):
        try_ways(cluster.ways.model_copy(update={"cert": stranger.cert, "key": stranger.key}), {}, {}, [])


def test_an_address_without_a_pod_is_said(cluster: Cluster) -> None:
    with pytest.raises(UnreachableError, match="no pod on this node"):
        try_ways(cluster.ways, {"ghost": "10.244.99.99"}, {}, [(80, "TCP")])
