"""`mod209 doctor` finds what is not well, where it really is not, and says how to mend it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from typer import Typer
from typer.testing import CliRunner

from environments.doctor import Finding, examine
from environments.doctor import docker as docker_module
from environments.doctor.cli import doctor_command
from environments.doctor.clusters import programs
from environments.doctor.examine import cage, root
from environments.doctor.finding import Machine
from environments.doctor.machine import clock, disk, limits, memory, proxies
from environments.errors import FootprintError
from environments.footprint import Footprint
from environments.kind.nodeimage.inputs import reference
from environments.kind.nodeimage.sources import LOCK, STOCK
from environments.toolchain.store import flock

FULL = "000001ffffffffff"


class Daemon(ThreadingMixIn, UnixStreamServer):
    """Answers on a socket as a Docker daemon would."""

    daemon_threads = True
    info: dict[str, Any]
    networks: list[dict[str, Any]]
    building: list[dict[str, Any]]
    images: tuple[str, ...]


class Answers(BaseHTTPRequestHandler):
    server: Daemon

    def do_GET(self) -> None:
        path, held = unquote(self.path.partition("?")[0]), self.server
        known = {"/info": held.info, "/networks": held.networks, "/containers/json": held.building}
        known |= {f"/images/{name}/json": {} for name in held.images}
        body = json.dumps(known.get(path)).encode()
        self.send_response(200 if path in known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def daemon(
    folder: Path,
    networks: list[dict[str, Any]] | None = None,
    building: list[dict[str, Any]] | None = None,
    images: tuple[str, ...] = (STOCK,),
    **info: Any,
) -> Iterator[Machine]:
    with Daemon(str(folder / "d.sock"), Answers) as server:
        server.info, server.networks = {"ServerVersion": "29.0", "CgroupVersion": "2", **info}, networks or []
        server.building, server.images = building or [], images
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield machine(folder).model_copy(update={"socket": folder / "d.sock"})
        server.shutdown()


def machine(folder: Path, bounding: str = FULL, available: int = 16 << 20) -> Machine:
    """A machine whose /proc and /sys are folders."""
    proc, system = folder / "proc", folder / "sys"
    (proc / "self").mkdir(parents=True, exist_ok=True)
    (proc / "sys/fs/inotify").mkdir(parents=True, exist_ok=True)
    (system / "class/net/docker0").mkdir(parents=True, exist_ok=True)
    (system / "fs/cgroup").mkdir(parents=True, exist_ok=True)
    (proc / "self/status").write_text(f"Name:\tx\nCapBnd:\t{bounding}\n")
    (proc / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:   {available} kB\n")
    (proc / "sys/fs/inotify/max_user_instances").write_text("1024\n")
    return Machine(proc=proc, sys=system, socket=folder / "nowhere.sock")


def bad(found: Iterator[Finding]) -> dict[str, Finding]:
    """What is not well, by its sentence's first words."""
    left = {one.seen: one for one in found if one.state != "ok"}
    assert all(one.cure for one in left.values())
    return left


@pytest.fixture(autouse=True)
def _no_docker_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("MOD209_NODE_IMAGE", raising=False)


def test_a_daemon_that_is_well_has_nothing_to_mend(tmp_path: Path) -> None:
    with daemon(tmp_path) as here:
        found = list(docker_module.docker(here))
    assert [one.state for one in found] == ["ok", "ok", "ok"]
    assert "29.0 answers, cgroup v2" in found[0].seen


def test_a_rootless_daemon_and_a_lost_bridge_are_seen(tmp_path: Path) -> None:
    with daemon(tmp_path, SecurityOptions=["name=seccomp", "name=rootless"]) as here:
        (here.sys / "class/net/docker0").rmdir()
        found = bad(docker_module.docker(here))
    assert len(found) == 2
    assert any("rootless" in seen for seen in found)
    assert any("docker0 is gone" in seen for seen in found)


@pytest.mark.parametrize(
    ("bounding", "runtime", "lacking"),
    [
        (f"{(1 << 41) - 1 - (1 << 24):016x}", "runc", "CAP_SYS_RESOURCE"),
        (f"{(1 << 41) - 1 - (1 << 24):016x}", "within-bounds", ""),
        (f"{(1 << 41) - 1 - (1 << 21):016x}", "within-bounds", "CAP_SYS_ADMIN"),
    ],
)
def test_missing_capabilities_are_named(tmp_path: Path, bounding: str, runtime: str, lacking: str) -> None:
    with daemon(tmp_path, DefaultRuntime=runtime) as here:
        machine(tmp_path, bounding)
        found = bad(docker_module.docker(here))
    assert [one.seen.split(" is ")[0] for one in found.values()] == ([lacking] if lacking else [])


def test_clusters_whose_supervisor_is_gone_are_told_of(tmp_path: Path) -> None:
    left = [{"Name": "mod209-x", "Labels": {"mod209.footprint": str(tmp_path / "dead")}}]
    with daemon(tmp_path, left) as here:
        [found] = bad(docker_module.docker(here)).values()
    assert str(tmp_path / "dead") in found.seen
    assert "mod209 down" in found.cure


def test_clusters_of_another_user_are_nobodys_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(directory: Path) -> bool:
        raise PermissionError(directory)

    monkeypatch.setattr("environments.doctor.clusters.is_running", forbidden)
    with daemon(tmp_path, [{"Name": "mod209-x", "Labels": {"mod209.footprint": "/theirs"}}]) as here:
        assert bad(docker_module.docker(here)) == {}


def test_what_a_killed_build_of_a_node_image_left_is_told_of_and_a_running_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / LOCK).touch()
    names = ("runs", "killed", "gone")
    building = [{"Id": f"{name}-0123456789", "Labels": {"mod209.building": str(tmp_path / name)}} for name in names]
    building.append({"Id": "node-0123456789", "Labels": {"mod209.building": ""}})
    with daemon(tmp_path, building=building) as here, flock(tmp_path / "runs" / LOCK, threading.Event(), lambda: None):
        [found] = bad(docker_module.docker(here)).values()
    assert found.cure == "docker rm --force killed-01234 gone-0123456"


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.clusters
def test_clusters_that_run_are_nothing_that_was_left(kind_footprint: Footprint) -> None:
    """A node bears what its image's label says: one time that was `mod209.building`, and its cure would have ended them."""
    assert kind_footprint.status()["ready"]
    assert [one for one in docker_module.docker(Machine()) if one.name == "leftovers"] == []


@pytest.mark.parametrize(
    ("images", "named", "seen", "cure"),
    [
        ((), "", "none yet", "make node"),
        ((STOCK,), "mine:1", "MOD209_NODE_IMAGE is mine:1, which Docker does not have", "unset it"),
    ],
)
def test_a_node_image_that_is_not_there_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: tuple[str, ...], named: str, seen: str, cure: str
) -> None:
    monkeypatch.setenv("MOD209_NODE_IMAGE", named)
    with daemon(tmp_path, images=images) as here:
        [found] = bad(docker_module.docker(here)).values()
    assert seen in found.seen
    assert cure in found.cure


@pytest.mark.parametrize("images", [(STOCK,), (reference(),)])
def test_a_node_image_that_is_there_is_named(tmp_path: Path, images: tuple[str, ...]) -> None:
    with daemon(tmp_path, images=images) as here:
        assert f"{images[0]} is there." in [one.seen for one in docker_module.docker(here) if one.state == "ok"]


@pytest.mark.parametrize(
    ("host", "elsewhere"),
    [
        ("unix:///run/d.sock", ""),
        ("tcp://127.0.0.1:2375", ""),
        ("tcp://[::1]:2375", ""),
        ("tcp://big.example:2376", "big.example:2376"),
        ("ssh://me@big.example:22", "big.example:22"),
    ],
)
def test_a_daemon_on_another_machine_is_told_from_one_here(
    monkeypatch: pytest.MonkeyPatch, host: str, elsewhere: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert docker_module._elsewhere() == elsewhere


def test_what_clusters_need_beside_a_daemon_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.doctor.clusters.find_spec", lambda name: None)
    monkeypatch.setattr("environments.doctor.clusters.locate", lambda name: None)
    found = bad(programs(machine(tmp_path)))
    assert "pip install docker" in [one.cure for one in found.values()]
    assert "Not here yet: kind, ways." in found


@pytest.mark.parametrize(
    ("programs", "seen", "cure"),
    [((), "not installed", "apt-get install"), (("docker", "dockerd"), "does not run", "systemctl start docker")],
)
def test_no_daemon_absent_or_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: tuple[str, ...], seen: str, cure: str
) -> None:
    for name in programs:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    [found] = bad(docker_module.docker(machine(tmp_path))).values()
    assert seen in found.seen
    assert cure in found.cure


def test_a_docker_host_where_nobody_answers_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://me:secret@127.0.0.1:9")
    [found] = bad(docker_module.docker(machine(tmp_path))).values()
    assert "127.0.0.1:9" in found.seen
    assert "secret" not in found.seen + found.cure


@pytest.mark.parametrize("host", ["tcp://[broken", "ssh://nowhere.example", "nonsense"])
def test_a_docker_host_that_is_no_address_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    [found] = bad(docker_module.docker(machine(tmp_path))).values()
    assert host in found.seen


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_no_right_to_the_socket_is_told_apart_from_no_daemon(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with daemon(tmp_path) as here:
        here.socket.chmod(0o600)
        for folder in (*tmp_path.parents[:2],):
            folder.chmod(0o755)
        os.seteuid(65534)
        try:
            [found] = bad(docker_module.docker(here)).values()
        finally:
            os.seteuid(0)
    assert "no right" in found.seen


def test_little_memory_is_a_problem_for_whom_it_is_too_little(tmp_path: Path) -> None:
    little = bad(memory(machine(tmp_path, available=2 << 20)))
    assert [one.group for one in little.values()] == ["kind"]
    none = machine(tmp_path)
    (none.sys / "fs/cgroup/memory.max").write_text(str(1 << 30))
    assert {one.group for one in memory(none) if one.state == "problem"} == {"labs", "kind"}


def test_few_watches_are_told_of(tmp_path: Path) -> None:
    few = machine(tmp_path)
    (few.proc / "sys/fs/inotify/max_user_instances").write_text("128\n")
    [found] = [one for one in limits(few) if one.group == "kind"]
    assert "sysctl -w" in found.cure


def test_a_proxy_in_the_way_of_loopback_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intra.example")
    [found] = bad(proxies(machine(tmp_path))).values()
    assert "HTTPS_PROXY" in found.seen
    assert "secret" not in found.seen
    monkeypatch.setenv("NO_PROXY", "localhost, 127.0.0.1")
    assert bad(proxies(machine(tmp_path))) == {}


def test_a_clock_in_the_past_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    [found] = bad(clock(machine(tmp_path))).values()
    assert "before this program was installed" in found.seen


def test_a_full_disk_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    assert any("MOD209_CACHE" in one.cure for one in bad(disk(machine(tmp_path))).values())


def test_what_fails_itself_is_a_finding(tmp_path: Path) -> None:
    found = examine(Machine(proc=tmp_path / "nothing", sys=tmp_path, socket=tmp_path / "s"))
    assert any(one.name == "memory" and "could not be looked at" in one.seen for one in found)
    assert {one.name for one in found} > {"versions", "disk", "ports"}


def test_another_system_is_told_where_the_labs_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    [found] = examine()
    assert (found.state, "container image" in found.cure) == ("problem", True)


@pytest.mark.parametrize(("uid", "state"), [(0, "ok"), (1000, "problem")])
def test_grading_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, state: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    [found] = root(machine(tmp_path))
    assert (found.state, bool(found.cure)) == (state, uid != 0)


def test_the_command_says_all_in_json_and_by_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Typer()
    app.command()(doctor_command)
    sick = Finding(group="kind", name="Docker", state="problem", seen="No daemon.", cure="Start it.")
    monkeypatch.setattr("environments.doctor.cli.examine", lambda: [sick])
    fine = CliRunner().invoke(app, ["--json"])
    assert (fine.exit_code, json.loads(fine.stdout)["ok"]) == (0, True)
    assert json.loads(fine.stdout)["findings"] == [sick.model_dump()]
    asked = CliRunner().invoke(app, ["--for", "kind"])
    assert isinstance(asked.exception, FootprintError)
    assert "→ Start it." in asked.stdout


def test_this_machine_can_confine_a_process_or_says_what_to_do(tmp_path: Path) -> None:
    [found] = cage(machine(tmp_path))
    assert found.state == "ok" or found.cure
