"""Falco's place on real nodes, taken by stand-ins: one that is well and tells of an alert, and one that ends at once.

They are no Falco and look into no kernel. What is tried is ours: images, pods, health, logs, and the taking away.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from environments.cleanroom.endpoint import Endpoint
from environments.errors import FootprintError
from environments.footprint import Footprint
from environments.kind import falco, images, runtime
from environments.kind.alerts import alerts
from environments.kind.engine import engine, leftovers
from environments.kind.logs import Follower
from environments.tests.test_footprint import until
from environments.toolchain import Tool
from environments.toolchain.catalog import architecture, spec_of
from environments.toolchain.golang import find_go
from environments.toolchain.task import Task

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.clusters]
# Says by hand that it is well: net/http would take a minute to compile.
STAND_IN = """package main

import ("fmt"; "net"; "os"; "path/filepath"; "time")

func main() {
	fmt.Fprintln(os.Stderr, "a stand-in for Falco")
	if filepath.Base(os.Args[0]) == "ends" { os.Exit(3) }
	fmt.Printf(`{"time":"%s","rule":"Stand-in","priority":"Notice","output":"x",` +
		`"output_fields":{"k8s.ns.name":"serving","k8s.pod.name":"model"}}` + "\\n", time.Now().UTC().Format(time.RFC3339Nano))
	door, err := net.Listen("tcp", "127.0.0.1:8765")
	for err == nil {
		var guest net.Conn
		if guest, err = door.Accept(); err == nil {
			guest.Read(make([]byte, 4096))
			fmt.Fprint(guest, "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n")
			guest.Close()
		}
	}
	panic(err)
}
"""


@dataclass(frozen=True, eq=False)
class Node:
    """What Falco's watch looks at of a node of the footprint of all tests, whose supervisor has the whole."""

    container: str
    folder: Path
    plane: Any


@pytest.fixture(scope="module")
def nodes(kind_footprint: Footprint) -> list[Any]:
    with engine() as client:
        [network] = [one.network for one in leftovers(client) if one.directory == str(kind_footprint.directory)]
    found = []
    for name, cloud in kind_footprint.access("judge").clouds.items():
        folder = kind_footprint.directory / name
        files = {"ca": folder / "kube-ca.crt", "cert": folder / "keeper.crt", "key": folder / "keeper.key"}
        plane = SimpleNamespace(name=name, keeper=Endpoint(url=cloud.server, **files))
        found.append(Node(f"{network}-{name}-control-plane", folder, plane))
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand-in")
    (folder / "main.go").write_text(STAND_IN)
    go = find_go(Task(name="reach", spec=spec_of("reach"), arch=architecture(), cancel=threading.Event(), tell=print))
    built = {**go.environment(), "CGO_ENABLED": "0", "GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local"}
    subprocess.run([str(go.path), "build", "-o", "program", "main.go"], cwd=folder, env=built, check=True, timeout=300)
    return folder / "program"


@contextlib.contextmanager
def watching(name: str, program: Path, nodes: list[Any], logs: Path) -> Iterator[falco.Watch]:
    """A watch over all nodes with a stand-in of that name, which asks for no capabilities; none is left afterwards."""
    image = images.reference(runtime.NAME, f"stand-in-{name}")
    images.write(
        runtime.archive(image), Tool(name=name, version="0", path=program, source="path", origin="here"), image
    )

    def pod(called: str) -> dict[str, Any]:
        made = falco.pod(called)
        made["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = []
        return made

    try:
        with engine() as client:
            watch = falco.Watch(client, image, logs, pod)
            for node in nodes:
                watch.start(node)
            yield watch
            watch._take_away("the test is over", nodes)
    finally:
        runtime.archive(image).unlink()
    assert until(lambda: not pods_of_falco(nodes), 30)


def pods_of_falco(nodes: list[Any]) -> list[str]:
    found = []
    for node in nodes:
        with node.plane.keeper.client(timeout=10.0) as client:
            items = client.get("/api/v1/namespaces/kube-system/pods").raise_for_status().json()["items"]
        found += [one["metadata"]["name"] for one in items if one["metadata"]["name"].startswith(runtime.NAME)]
    return found


def test_one_that_is_well_stays_and_its_alerts_can_be_read(nodes: list[Any], program: Path, tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    (tmp_path / "logs").mkdir()
    with watching("stays", program, nodes, tmp_path / "logs") as watch:
        assert watch.settle(60) == ""
        assert watch.states() == {"aws": True, "azure": True, "gcp": True}
        follower = Follower(nodes[0].plane.keeper, f"falco-{nodes[0].container}", tmp_path / "logs/aws-falco.log")
        follower.start()

        def told() -> bool:
            with contextlib.suppress(FootprintError):  # the log is not there yet
                return [one.rule for one in alerts(tmp_path, "aws", began)] == ["Stand-in"]
            return False

        assert until(told, 30)
        assert alerts(tmp_path, "aws", datetime.now(UTC) + timedelta(hours=1)) == []
        follower.end()


def test_one_that_ends_at_once_is_taken_away_and_the_footprint_goes_on(
    kind_footprint: Footprint, nodes: list[Any], program: Path, tmp_path: Path
) -> None:
    with watching("ends", program, nodes, tmp_path) as watch:
        reason = watch.settle(60)
        assert reason.startswith("Falco ended (code 3) on ")
        assert until(lambda: not pods_of_falco(nodes), 30)
        kept = [path.read_text() for path in tmp_path.glob("*-falco.log")]
        assert any("a stand-in for Falco" in text for text in kept)
    assert kind_footprint.status()["ready"]


def test_a_lab_that_asks_for_no_runtime_has_no_falco(kind_footprint: Footprint, nodes: list[Any]) -> None:
    assert pods_of_falco(nodes) == []
    assert "runtime" not in kind_footprint.capabilities
    assert kind_footprint.status()["without"] == {"runtime": ""}
