"""How clusters end: nothing is left on the Docker daemon, whatever ends their supervisor."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from environments.errors import FootprintError
from environments.footprint import Footprint, forget, is_running
from environments.kind.engine import CLUSTER_LABEL, FOOTPRINT_LABEL, add_network, engine, leftovers, nodes
from environments.kind.removal import remove
from environments.tests.dying_daemon import DyingDaemon
from environments.tests.test_footprint import until

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.clusters]
FREEZE = """
group=/sys/fs/cgroup/freezer/pod state=freezer.state word=FROZEN
[ -d "${group%/*}" ] || { group=/sys/fs/cgroup/pod; state=cgroup.freeze; word=1; }
mkdir "$group"
sleep infinity & echo $! >"$group/cgroup.procs"
echo $word >"$group/$state"
exec sleep infinity
"""
UP = (sys.executable, "-m", "assessment", "up", "zero-trust", "--provider", "kind")


def left(directory: Path) -> list[str]:
    """Names of containers and networks that a footprint has on the daemon."""
    with engine() as client:
        mine = [one.network for one in leftovers(client) if one.directory == str(directory)]
        return mine + [node.name for network in mine for node in nodes(client, network)]


def test_a_footprint_is_published_on_loopback_alone(kind_footprint: Footprint) -> None:
    names = [name for name in left(kind_footprint.directory) if name.endswith("control-plane")]
    assert len(names) == 3
    with engine() as client:
        ports = [client.containers.get(name).attrs["NetworkSettings"]["Ports"] for name in names]
    addresses = {one["HostIp"] for cloud in ports for mapped in cloud.values() for one in mapped or ()}
    assert addresses == {"127.0.0.1"}


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.thorough), signal.SIGKILL])
def test_an_end_in_the_middle_of_a_start_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    directory = tmp_path / "zero-trust"
    env = {**os.environ, "MOD209_STATE": str(tmp_path)}
    with subprocess.Popen(UP, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, env=env) as up:
        assert until(lambda: any(name.endswith("control-plane") for name in left(directory)), 120)
        (supervisor,) = [
            one
            for one in psutil.Process(up.pid).children()
            if "environments.supervisor.server" in " ".join(one.cmdline())
        ]
        if number is signal.SIGKILL:
            supervisor.kill()  # and the undertaker sees to the rest
        else:
            up.send_signal(number)
    assert until(lambda: left(directory) == [], 60)
    assert until(lambda: not is_running(directory))


def test_a_node_that_is_killed_while_a_pod_of_its_is_frozen_goes_too(kind_footprint: Footprint, tmp_path: Path) -> None:
    network = f"mod209-test-{secrets.token_hex(3)}"
    with engine() as client:
        image = next(one for one in client.containers.list() if one.name in left(kind_footprint.directory)).image
        add_network(client, network, {FOOTPRINT_LABEL: str(tmp_path)})
        node = client.containers.run(
            image,
            entrypoint=["bash", "-c", FREEZE],
            detach=True,
            privileged=True,
            network=network,
            labels={CLUSTER_LABEL: f"{network}-aws"},
        )
        assert until(lambda: [one[-1] for one in node.top()["Processes"]].count("sleep infinity") == 2)
        remove(client, network)
    assert left(tmp_path) == []


def test_a_daemon_that_dies_in_the_middle_of_a_start_is_one_sentence_and_what_it_kept_goes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "zero-trust"
    daemon = DyingDaemon(tmp_path / "d.sock")
    env = {**os.environ, "MOD209_STATE": str(tmp_path), "DOCKER_HOST": daemon.host, "COLUMNS": "200"}
    with subprocess.Popen(UP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env) as up:
        assert until(lambda: any(name.endswith("control-plane") for name in left(directory)), 120)
        daemon.die()
        said = up.communicate(timeout=60)[1]
    assert up.returncode == FootprintError.exit_code, said
    assert "Docker daemon does not answer" in said
    assert "Traceback" not in said
    assert not is_running(directory)
    assert left(directory)
    monkeypatch.setenv("MOD209_STATE", str(tmp_path))
    assert forget("zero-trust")
    assert left(directory) == []
