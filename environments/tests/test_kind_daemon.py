"""What provider kind says when the Docker daemon dies, and what it takes away afterwards; no cluster is made."""

from __future__ import annotations

import gc
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from environments.errors import FootprintError
from environments.kind.clusters import Furnisher
from environments.kind.engine import CLUSTER_LABEL, FOOTPRINT_LABEL, add_network, leftovers, nodes
from environments.kind.footprint import KindFootprint
from environments.kind.leftovers import sweep
from environments.kind.removal import remove
from environments.tests.dying_daemon import DyingDaemon
from environments.tests.tiny_images import Make

pytest_plugins = ["environments.tests.docker_fixtures"]
# docker's client leaves sockets to the collector that could not be connected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def dead(tmp_path: Path, daemon: Any) -> Iterator[Any]:
    """A client whose daemon has died after it had answered."""
    dying = DyingDaemon(tmp_path / "d.sock")
    client = docker.DockerClient(base_url=dying.host, version="1.41")
    assert client.ping()
    dying.die()
    yield client
    client.close()
    gc.collect()


def footprint(client: Any) -> KindFootprint:
    """As much of one as its status needs."""
    half = object.__new__(KindFootprint)
    half._docker, half._nodes = client, {"aws": SimpleNamespace(container="mod209-test-none")}  # type: ignore[dict-item]
    half._planes, half._opas, half._watch = {}, {}, None
    return half


def test_the_status_of_a_footprint_whose_daemon_died_is_a_sentence(dead: Any) -> None:
    with pytest.raises(FootprintError, match=r"^The Docker daemon does not answer any more: [^\n]+\.$") as caught:
        footprint(dead)._states()
    assert "mod209 doctor" in caught.value.hint


def test_a_node_that_somebody_removed_is_told_as_gone(daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    half = footprint(daemon)
    half._vault = SimpleNamespace(endpoint=None)  # type: ignore[assignment]
    monkeypatch.setattr("environments.cleanroom.vault.is_running", lambda _: True)
    assert half._states()["aws/node"]["state"] == "gone"


def test_what_furnishes_a_node_ends_with_the_daemon(dead: Any) -> None:
    node: Any = SimpleNamespace(container="x", plane=SimpleNamespace(name="aws"))
    began = time.monotonic()
    with pytest.raises(FootprintError, match="does not answer any more"):
        Furnisher(dead, node).furnish({"opa": (Path("opa.tar"), {})})
    assert time.monotonic() - began < 10


@pytest.fixture
def half_made(daemon: Any, tiny_image: Make) -> Iterator[Callable[[Path], str]]:
    """Makes what a killed start leaves of a footprint: a network, one node that runs not yet, one that is only planned."""
    made: list[str] = []

    def make(directory: Path) -> str:
        network, image = f"mod209-test-{secrets.token_hex(3)}", tiny_image()
        add_network(daemon, network, {FOOTPRINT_LABEL: str(directory)})
        made.append(network)
        for cloud in ("aws", "gcp"):
            labels = {CLUSTER_LABEL: f"{network}-{cloud}"}
            daemon.containers.create(
                image, ["x"], name=f"{network}-{cloud}-control-plane", network=network, labels=labels
            )
        return network

    yield make
    for network in made:
        remove(daemon, network)


def state(daemon: Any, network: str) -> Mapping[str, int]:
    """What is there of a footprint."""
    return {
        "networks": sum(one.network == network for one in leftovers(daemon)),
        "nodes": len(nodes(daemon, network)),
    }


def test_half_made_clusters_go_and_those_of_others_stay(
    daemon: Any, tmp_path: Path, half_made: Callable[[Path], str]
) -> None:
    killed, running = half_made(tmp_path / "killed"), half_made(tmp_path / "running")
    swept = sweep(daemon, lambda path: path != tmp_path / "killed")
    assert [one.network for one in swept] == [killed]
    assert state(daemon, killed) == {"networks": 0, "nodes": 0}
    assert state(daemon, running) == {"networks": 1, "nodes": 2}


def test_a_footprint_that_is_half_swept_is_swept_whole(
    daemon: Any, tmp_path: Path, half_made: Callable[[Path], str]
) -> None:
    network = half_made(tmp_path)
    nodes(daemon, network)[0].remove(force=True)
    sweep(daemon, lambda path: path != tmp_path)
    assert state(daemon, network) == {"networks": 0, "nodes": 0}
    assert sweep(daemon, lambda path: path != tmp_path) == []
