"""Who says what runs on a node: never an operator, and on held clusters nothing that they ask for runs, in whatever way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from environments.footprint import Footprint
from environments.kind import crew
from environments.kind.clusters import HOLD, SCHEDULERS, STATIC_PODS
from environments.kind.engine import engine
from environments.platform import CREW_STEM, platform
from environments.tests.test_footprint import kube, until
from environments.tests.test_ways import Cluster

pytestmark = pytest.mark.servers
CLOUD = "gcp"
CORE = "/api/v1/namespaces/training"
APPS, BATCH = "/apis/apps/v1/namespaces/training", "/apis/batch/v1/namespaces/training"
PODS = f"{CORE}/pods"
MERGE = {"Content-Type": "application/strategic-merge-patch+json"}
EPHEMERAL = {"spec": {"ephemeralContainers": [{"name": "e", "image": crew.IMAGE}]}}
Object = dict[str, Any]


def spec(**changes: Any) -> Object:
    """A pod that would be root on its node, and starts where and when it can."""
    container = {"name": "c", "image": crew.IMAGE, "securityContext": {"privileged": True}}
    return {"containers": [container], "hostPID": True, "tolerations": [{"operator": "Exists"}], **changes}


def pod(name: str, **changes: Any) -> Object:
    return {"metadata": {"name": name}, "spec": spec(**changes)}


def owners(word: str, **changes: Any) -> Iterator[tuple[str, Object]]:
    """One of everything that makes pods, each called after its kind; and where it is created."""

    def template(kind: str, **more: Any) -> Object:
        return {"metadata": {"labels": {"app": f"{word}-{kind}"}}, "spec": spec(**changes, **more)}

    def made(kind: str, content: Object) -> Object:
        return {"metadata": {"name": f"{word}-{kind}"}, "spec": content}

    for kind in ("deployments", "statefulsets", "daemonsets", "replicasets"):
        selector = {"matchLabels": {"app": f"{word}-{kind}"}}
        yield f"{APPS}/{kind}", made(kind, {"selector": selector, "template": template(kind)})
    kind = "replicationcontrollers"
    yield f"{CORE}/{kind}", made(kind, {"selector": {"app": f"{word}-{kind}"}, "template": template(kind)})
    yield f"{BATCH}/jobs", made("jobs", {"template": template("jobs", restartPolicy="Never")})
    job = {"spec": {"template": template("cronjobs", restartPolicy="Never")}}
    yield f"{BATCH}/cronjobs", made("cronjobs", {"schedule": "* * * * *", "jobTemplate": job})


def refused(answer: httpx.Response, why: str = "[node]") -> bool:
    return answer.status_code == httpx.codes.FORBIDDEN and why in answer.json()["message"]


@contextmanager
def keeper(footprint: Footprint) -> Iterator[httpx.Client]:
    """A client of the footprint's own on one cloud."""
    access, folder = footprint.access("operator"), footprint.directory / CLOUD
    pair = {part: (folder / f"keeper.{file}").read_text() for part, file in (("cert", "crt"), ("key", "key"))}
    cloud = access.clouds[CLOUD].model_copy(update=pair)
    with kube(access.model_copy(update={"clouds": {CLOUD: cloud}}), CLOUD) as client:
        yield client


@pytest.fixture
def operator(any_footprint: Footprint) -> Iterator[httpx.Client]:
    with kube(any_footprint.access("operator"), CLOUD) as client:
        yield client


@pytest.mark.parametrize("options", [{}, {"dryRun": "All"}], ids=["", "dry"])
def test_operators_name_no_node_and_no_pod_of_the_crew(operator: httpx.Client, options: dict[str, str]) -> None:
    def create(body: Object) -> httpx.Response:
        return operator.post(PODS, params=options, json=body)

    for node in ("somewhere", f"{CLOUD}-control-plane"):
        assert refused(create(pod("x", nodeName=node)))
    assert refused(create(pod(f"{CREW_STEM}3")))
    for name in ("x", f"{CREW_STEM}lead", f"my-{CREW_STEM}3"):
        assert create(pod(name)).status_code == httpx.codes.CREATED
    assert create(pod("y", nodeName="")).status_code == httpx.codes.CREATED


def test_a_template_may_name_one_for_none_of_its_pods_will(operator: httpx.Client) -> None:
    for path, body in owners("named", nodeName="somewhere"):
        assert operator.post(path, json=body).status_code == httpx.codes.CREATED


INTO = [
    *(
        (method, way, None)
        for way in ("exec?command=sh&stdout=true", "attach?stdout=true")
        for method in ("GET", "POST")
    ),
    *((method, "portforward?ports=80", None) for method in ("GET", "POST")),
    ("PATCH", "ephemeralcontainers", EPHEMERAL),
    ("PATCH", "", {"metadata": {"labels": {"app": "spoilt"}}}),
    ("PATCH", "", {"spec": {"containers": [{"name": "c", "image": "registry.k8s.io/etcd:3"}]}}),
]


def test_no_operator_gets_into_a_pod_of_the_crew(any_footprint: Footprint, operator: httpx.Client) -> None:
    def enter(name: str, method: str, way: str, body: Object | None) -> httpx.Response:
        headers = MERGE if body else {}
        return operator.request(method, f"{PODS}/{name}/{way}".rstrip("/"), json=body, headers=headers)

    ours, theirs = f"{CREW_STEM}777", "theirs"
    with keeper(any_footprint) as client:
        client.post(PODS, json=pod(ours)).raise_for_status()
    operator.post(PODS, json=pod(theirs)).raise_for_status()
    for method, way, body in INTO:
        assert refused(enter(ours, method, way, body)), way
        assert "[node]" not in enter(theirs, method, way, body).text
    assert operator.delete(f"{PODS}/{ours}").is_success  # which is made whole


class Besieged:
    """A held cluster on which an operator has asked for everything that makes pods, and then a judge has come."""

    def __init__(self, footprint: Footprint, operator: httpx.Client) -> None:
        self.operator = operator
        self._ask(operator)
        self._cluster = Cluster(footprint, CLOUD)  # brings the crew
        self.keeper, self.node = self._cluster.keeper, self._cluster.node
        for path, body in owners("named", nodeName=self.node):
            operator.post(path, json=body).raise_for_status()

    def _ask(self, operator: httpx.Client) -> None:
        for body in (
            pod("plain"),
            pod("urgent", priorityClassName="system-node-critical"),
            pod("host", hostNetwork=True),
        ):
            operator.post(PODS, json=body).raise_for_status()
        for path, body in owners("free"):
            operator.post(path, json=body).raise_for_status()

    def pods(self) -> list[Object]:
        """The operator's pods of the namespace."""
        items: list[Object] = self.keeper.get(PODS).raise_for_status().json()["items"]
        return [one for one in items if not one["metadata"]["name"].startswith(CREW_STEM)]

    def failures(self) -> set[str]:
        """What controllers could not make a pod for, because of our rule."""
        events = self.keeper.get(f"{CORE}/events").raise_for_status().json()["items"]
        refusals = [one for one in events if one["reason"] == "FailedCreate" and "[node]" in one["message"]]
        return {one["involvedObject"]["name"] for one in refusals}

    def close(self) -> None:
        """Close its clients."""
        self._cluster.close()


def on_node(node: str, argv: list[str]) -> str:
    with engine() as client:
        done = client.containers.get(node).exec_run(argv)
    assert done.exit_code == 0, done.output
    return str(done.output.decode())


def ran(node: str) -> set[str]:
    """Names of all pods of the platform's namespaces for which a node has begun to start anything, by their folders for logs."""
    places = [place.split("_") for place in on_node(node, ["ls", "/var/log/pods"]).split()]
    return {name for namespace, name, _ in places if namespace in platform().namespaces}


@pytest.fixture(scope="module")
def besieged(kind_footprint: Footprint) -> Iterator[Besieged]:
    kind_footprint.reset()
    with kube(kind_footprint.access("operator"), CLOUD) as client:
        one = Besieged(kind_footprint, client)
        yield one
        one.close()
    kind_footprint.reset()


@pytest.mark.slow
@pytest.mark.clusters
def test_whatever_makes_pods_is_at_work_and_none_of_them_runs(besieged: Besieged) -> None:
    kinds = {path.rpartition("/")[2] for path, _ in owners("any")}

    def at_work() -> bool:
        waiting = {one["metadata"]["name"] for one in besieged.pods()}
        made = {kind for kind in kinds if any(name.startswith(f"free-{kind}") for name in waiting)}
        return made == kinds == {kind for kind in kinds if any(f"named-{kind}" in name for name in besieged.failures())}

    assert until(at_work, 90), (besieged.pods(), besieged.failures())
    started = ran(besieged.node)
    assert f"{CREW_STEM}0" in started  # so the node starts what it is given
    assert {name for name in started if not name.startswith(CREW_STEM)} == set()
    for one in besieged.pods():
        assert "nodeName" not in one["spec"]
        assert one["status"]["phase"] == "Pending"
        assert "containerStatuses" not in one["status"]


@pytest.mark.slow
@pytest.mark.clusters
def test_no_operator_binds_a_pod_to_a_node(besieged: Besieged) -> None:
    ask, target = besieged.operator, {"apiVersion": "v1", "kind": "Node", "name": besieged.node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "plain"}, "target": target}
    assert refused(ask.post(f"{PODS}/plain/binding", json=binding), "pods/binding")
    assert refused(ask.post(f"{CORE}/bindings", json=binding), "bindings")
    named = {"spec": {"nodeName": besieged.node}}
    assert ask.patch(f"{PODS}/plain", json=named, headers=MERGE).status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert refused(ask.patch(f"{PODS}/plain/status", json={"status": {}}, headers=MERGE), "pods/status")
    assert ask.patch(f"{PODS}/plain/ephemeralcontainers", json=EPHEMERAL, headers=MERGE).is_success
    assert "plain" not in ran(besieged.node)


@contextmanager
def released(node: str) -> Iterator[None]:
    """A cluster whose scheduler is back while the context lasts."""
    on_node(node, ["mv", f"{HOLD[-1]}/kube-scheduler.yaml", STATIC_PODS])
    try:
        assert until(lambda: bool(on_node(node, SCHEDULERS)), 60)
        yield
    finally:
        on_node(node, HOLD)
        assert until(lambda: not on_node(node, SCHEDULERS), 60)


@pytest.mark.slow
@pytest.mark.clusters
def test_the_scheduler_alone_keeps_pods_from_running(besieged: Besieged) -> None:
    """So that the other tests could fail; and on a learner's own footprint, which has one, these run."""
    with released(besieged.node):
        assert until(lambda: {"plain", "urgent", "host"} <= ran(besieged.node), 120)
        assert not any(name.startswith("named-") for name in ran(besieged.node))
