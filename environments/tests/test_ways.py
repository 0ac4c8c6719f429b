"""What the model says of policies is what becomes of real connections between the pods of a real cluster."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from environments.access import WaysAccess
from environments.kind import crew, ways
from environments.paths import cache_dir
from environments.pki import Authority
from environments.platform import SYSTEM_NAMESPACE, platform
from environments.probes.observation import UnreachableError
from environments.probes.pairs import network
from environments.probes.reachability import interpret
from environments.probes.ways import OPEN, UNTRIED, is_open, try_ways
from environments.supervisor.ports import Ports
from environments.tests.real_policies import Generator, Policy, policies_of, reference, variants
from environments.toolchain import locate

POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
PLAN = network(b"test_ways", "aws")
IMAGE = "mod209/kind-node:v1.37.2"
SETS, SIZE = 10, 10
SECONDS = 120.0
pytestmark = [pytest.mark.slow, pytest.mark.servers]


def run(*argv: str) -> str:
    """A command's output."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300).stdout.strip()


def until(what: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Cluster:
    """A kind cluster of one node with a crew, and `ways` on the node."""

    def __init__(self, folder: Path, kind: str, program: Path) -> None:
        self.name = f"mod209-ways-{uuid.uuid4().hex[:6]}"
        self.node = f"{self.name}-control-plane"
        self._folder, self._kind = folder, kind
        self._ports = Ports()
        self._etcd_port, self._ways_port = self._ports.reserve(), self._ports.reserve()
        self._program = program
        self._clients = ExitStack()

    def start(self, image: str) -> None:
        """Make the cluster, then everything on it."""
        mapped = [
            {"containerPort": inner, "hostPort": outer, "listenAddress": "127.0.0.1"}
            for inner, outer in ((2379, self._etcd_port), (ways.PORT, self._ways_port))
        ]
        config = {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": "control-plane", "extraPortMappings": mapped}],
            "kubeadmConfigPatches": ["kind: KubeletConfiguration\nfailCgroupV1: false\n"],
            "containerdConfigPatches": ['[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n'],
        }
        file = self._folder / "kind.yaml"
        file.write_text(yaml.safe_dump(config))
        common = ("--name", self.name, "--kubeconfig", str(self._folder / "kubeconfig"))
        run(self._kind, "create", "cluster", *common, "--config", str(file), "--image", image, "--wait", "2m")
        self.keeper, self.etcd = self._keeper(), self._etcd()
        self._start_ways()
        for name in (*platform().namespaces, SYSTEM_NAMESPACE):
            self.keeper.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
        self.crew = crew.enlist(self.keeper, self.etcd, self.node)
        until(lambda: is_open(self.ways, self.crew.watched))

    def stop(self) -> None:
        """Take it away."""
        self._clients.close()
        run(self._kind, "delete", "cluster", "--name", self.name, "--kubeconfig", str(self._folder / "kubeconfig"))
        self._ports.release()

    def _keeper(self) -> httpx.Client:
        said = yaml.safe_load((self._folder / "kubeconfig").read_text())
        cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
        ca, *pair = (
            base64.b64decode(text).decode()
            for text in (
                cluster["certificate-authority-data"],
                user["client-certificate-data"],
                user["client-key-data"],
            )
        )
        return self._client(cluster["server"], ca, pair)

    def _etcd(self) -> httpx.Client:
        ca, *pair = (self._read(f"/etc/kubernetes/pki/etcd/{name}") for name in ("ca.crt", "server.crt", "server.key"))
        return self._client(f"https://127.0.0.1:{self._etcd_port}", ca, pair)

    def _read(self, path: str) -> str:
        return run("docker", "exec", self.node, "cat", path)

    def _client(self, url: str, ca: str, pair: list[str]) -> httpx.Client:
        context = ssl.create_default_context(cadata=ca)
        pem = self._folder / "pair.pem"
        pem.write_text("\n".join(pair))
        context.load_cert_chain(pem)
        client = httpx.Client(base_url=url, verify=context, timeout=30, trust_env=False)
        return self._clients.enter_context(client)

    def _start_ways(self) -> None:
        authority = Authority("test ways")
        server, client = authority.server("ways"), authority.client("judge")
        run("docker", "exec", self.node, "mkdir", "-p", ways.FOLDER)
        for name, text in {"server.crt": server.cert, "server.key": server.key, "ca.crt": authority.cert}.items():
            (self._folder / name).write_text(text)
            run("docker", "cp", str(self._folder / name), f"{self.node}:{ways.FOLDER}/{name}")
        run("docker", "cp", str(self._program), f"{self.node}:{ways.FOLDER}/ways")
        [container] = ways.pod()["spec"]["containers"]
        run("docker", "exec", "--detach", self.node, f"{ways.FOLDER}/ways", *container["args"])
        url = f"https://127.0.0.1:{self._ways_port}"
        self.ways = WaysAccess(url=url, ca=authority.cert, cert=client.cert, key=client.key)
        until(self._answers)

    def _answers(self) -> bool:
        try:
            return try_ways(self.ways, {}, {}, []) == {}
        except UnreachableError:
            return False

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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests of this file."""
    kind, program = shutil.which("kind", path=f"{cache_dir() / 'kind-node/bin'}:{os.environ['PATH']}"), locate("ways")
    if kind is None or program is None or not shutil.which("docker") or not run("docker", "images", "-q", IMAGE):
        pytest.skip("needs kind, a node image and `ways`")
    one = Cluster(tmp_path_factory.mktemp("cluster"), kind, program.path)
    try:
        one.start(IMAGE)
        yield one
    finally:
        one.stop()


def differences(cluster: Cluster, policies: list[Policy]) -> list[str]:
    """Every way that can be tried and on which model and reality differ; that any was tried is asserted."""
    stored = cluster.apply(policies)
    ends = {pod.name: cluster.crew.ends[pod.name] for pod in PLAN.pods}
    real = try_ways(cluster.ways, ends, PLAN.outside, PLAN.ports)
    ports = [{"port": port, "protocol": protocol} for port, protocol in PLAN.ports]
    document = {"policies": stored, "pods": cluster.pods(), "outside": PLAN.outside, "ports": ports}
    program = locate("reach")
    assert program is not None
    said = interpret(str(program.path), document, [*ends, *PLAN.outside])
    tried = [
        (source, target, port, letter, said[source][target][index])
        for source, row in real.items()
        for target, cell in row.items()
        for index, (port, letter) in enumerate(zip(PLAN.ports, cell, strict=True))
        if letter != UNTRIED
    ]
    assert len(tried) > 30_000
    return [str(one) for one in tried if (one[3] == OPEN) != (one[4] == OPEN)]


def test_without_policies_every_way_that_can_be_tried_is_open(cluster: Cluster) -> None:
    assert differences(cluster, []) == []


def test_the_reference_does_what_the_model_says(cluster: Cluster, tmp_path: Path) -> None:
    policies = policies_of(reference(), tmp_path)
    assert len(policies) == 2 * len(platform().workloads)
    assert differences(cluster, policies) == []


def test_every_variant_does_what_the_model_says(cluster: Cluster, tmp_path: Path) -> None:
    made = {name: policies_of(cells, tmp_path) for name, cells in variants()}
    assert len(made) > 10
    assert {name: wrong for name, policies in made.items() if (wrong := differences(cluster, policies))} == {}


def test_random_policies_do_what_the_model_says(cluster: Cluster) -> None:
    addresses = [*list(PLAN.outside.values())[:3], *list(cluster.crew.ends.values())[:5]]
    generator = Generator(209, list(PLAN.ports), addresses)
    wrong = {number: differences(cluster, generator.policies(SIZE)) for number in range(SETS)}
    assert {number: found for number, found in wrong.items() if found} == {}


def test_the_crew_is_made_whole_and_given_new_roles(cluster: Cluster) -> None:
    before, namespace = dict(cluster.crew.ends), platform().namespaces[0]
    path = f"/api/v1/namespaces/{namespace}/pods/{crew.STEM}0"
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
