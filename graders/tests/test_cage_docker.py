"""What is particular to the Docker cage: canaries, the daemon it may use, and what broken daemons and graders leave."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from environments.errors import CageError
from environments.scratch import scratch
from graders.cage import (
    CAGE_NAMES,
    Job,
    Limits,
    Status,
    cage_named,
    canary,
    interpreter,
    slots,
)
from graders.cage.confined import Confined, Program
from graders.cage.docker import DockerCage
from graders.cage.docker import container as docker_container
from graders.cage.docker import image as docker_image
from graders.cage.docker import process as docker_process
from graders.cage.docker.daemon import LABEL, Daemon, daemon
from graders.cage.docker.image import packed
from graders.cage.root import Layout, layout
from graders.tests.cage_jobs import caged, eventually, needs_docker, needs_root, proof_names, running, submission

ENGINE = docker_container
ISOLATION, LIMITS, SIGHTS, CONFIGURATION = ENGINE._isolation, ENGINE._limits, ENGINE._sights, ENGINE.configuration
REAL = interpreter.current()
PROJECT = Path(__file__).resolve().parents[2]
BRIDGE = Path("/sys/class/net/docker0")


def _isolated(**changes: object) -> Callable[[], dict[str, Any]]:
    return lambda: {**ISOLATION(), **changes}


def _with_the_hosts_network(*arguments: Any) -> dict[str, Any]:
    made = CONFIGURATION(*arguments)
    return {**made, "NetworkDisabled": False, "HostConfig": {**made["HostConfig"], "NetworkMode": "host"}}


def _as_root(*arguments: Any) -> dict[str, Any]:
    return {**CONFIGURATION(*arguments), "User": "0:0"}


def _without_memory_limit(limits: Limits) -> dict[str, Any]:
    return {name: value for name, value in LIMITS(limits).items() if not name.startswith("Memory")}


def _without_process_limit(limits: Limits) -> dict[str, Any]:
    made = LIMITS(limits)
    return {**made, "PidsLimit": 0, "Ulimits": [one for one in made["Ulimits"] if one["Name"] != "nproc"]}


def _with_project(root: Layout) -> dict[str, Any]:
    return SIGHTS(replace(root, shown=root.shown | {PROJECT: PROJECT}))


WEAKENED: dict[str, tuple[object, str, object, str]] = {
    "same network": (docker_process, "configuration", _with_the_hosts_network, "network namespace"),
    "same pids": (ENGINE, "_isolation", _isolated(PidMode="host"), "processes of others"),
    "stays root": (docker_process, "configuration", _as_root, "user as the host sees it"),
    "keeps bounding set": (ENGINE, "_isolation", _isolated(CapDrop=[]), "capabilities"),
    "no filter": (
        ENGINE,
        "_isolation",
        _isolated(SecurityOpt=["no-new-privileges", "seccomp=unconfined"]),
        "system-call filter",
    ),
    "Docker's own filter": (ENGINE, "_isolation", _isolated(SecurityOpt=["no-new-privileges"]), "vsock"),
    "privileges can be gained": (ENGINE, "_isolation", _isolated(SecurityOpt=[]), "new privileges"),
    "no memory limit": (ENGINE, "_limits", _without_memory_limit, "memory limit"),
    "no process limit": (ENGINE, "_limits", _without_process_limit, "process limit"),
    "shows the project": (ENGINE, "_sights", _with_project, "hidden paths"),
    "leaks variables": (ENGINE, "environment", lambda _python: {"TERM_KEY": "1"}, "environment variables"),
    "no output limit": (canary, "_LIMITS", replace(canary._LIMITS, output_bytes=1 << 40, wall_seconds=4), "output"),
    "packages are missing": (
        interpreter,
        "current",
        lambda: replace(REAL, packages=Path("/usr/share")),
        "notebooks need",
    ),
}


@needs_root
@needs_docker
@pytest.mark.parametrize("weakness", WEAKENED)
def test_canary_names_what_gets_through(weakness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement, told = WEAKENED[weakness]
    monkeypatch.setattr(owner, name, replacement)
    proof_names(DockerCage(), told)


@needs_root
@needs_docker
def test_file_for_root_that_all_may_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_to_all(root: Layout) -> bytes:
        return packed(replace(root, texts=root.texts | root.secrets, secrets={}))

    monkeypatch.setattr(docker_image, "packed", open_to_all)
    with pytest.raises(CageError, match="root's file"):
        DockerCage().prove()
    with daemon() as engine:
        engine._api.remove_image(docker_image.image(engine))


@needs_root
@needs_docker
def test_prove_is_fast() -> None:
    def seconds() -> float:
        started = time.monotonic()
        DockerCage().prove()
        return time.monotonic() - started

    assert min(seconds() for _ in range(3)) < 4


def test_cages_are_known_by_name() -> None:
    assert CAGE_NAMES == ("bubblewrap", "docker")
    assert [cage_named(name).name for name in CAGE_NAMES] == list(CAGE_NAMES)


def test_same_root_gives_the_same_image_and_another_another() -> None:
    root = layout(REAL, Limits(), docker_image.every_uid(), None)
    assert packed(root) == packed(root)
    assert packed(root) != packed(replace(root, texts=root.texts | {Path("/etc/hosts"): ""}))
    with tarfile.open(fileobj=BytesIO(packed(root))) as archive:
        members = {entry.name: entry for entry in archive}
    assert members["home"].mode == 0o1777
    assert {entry.uid for entry in members.values()} == {0}
    assert not [name for name in members if "graders" in name or "solutions" in name]


def test_container_has_no_host_in_it() -> None:
    program = Program(source="", payload=lambda _uid: b"", limits=Limits())
    made = docker_container.configuration("x", slots.Slot(3), program)
    host = made["HostConfig"]
    assert made["User"] == f"{slots.FIRST_UID + 3}:{slots.FIRST_UID + 3}"
    assert made["Labels"] == {LABEL: "mod209-cage-3"}
    assert (host["CapDrop"], host["NetworkMode"], host["ReadonlyRootfs"]) == (["ALL"], "none", True)
    assert host["Memory"] == host["MemorySwap"] == Limits().memory_bytes
    assert all(mount["ReadOnly"] for mount in host["Mounts"])
    assert not {"Privileged", "Devices", "CapAdd", "PidMode", "UsernsMode"} & host.keys()


@needs_root
@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("tcp://192.0.2.1:2375", "not this machine's own socket"),
        ("ssh://someone@192.0.2.1", "not this machine's own socket"),
        ("unix:///nonexistent/docker.sock", "there is no Docker daemon"),
    ],
)
def test_no_daemon_of_this_machine_is_one_clear_sentence(
    where: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", where)
    with pytest.raises(CageError, match=told) as caught:
        DockerCage().prove()
    assert caught.value.hint
    assert "192.0.2.1" not in caught.value.message  # it may hold a password


@needs_root
@pytest.mark.parametrize("listens", [False, True])
def test_daemon_that_is_stopped_or_talks_nonsense_is_our_fault(
    listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "sock"))
        if listens:
            dead.listen()
            monkeypatch.setattr("graders.cage.docker.daemon._SECONDS", 0.3)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/sock")
        with pytest.raises(CageError, match="could not answer" if listens else "does not answer") as caught:
            DockerCage().prove()
    assert caught.value.hint


class Told:
    """In place of the client: a daemon that tells this about itself."""

    def __init__(self, **facts: object) -> None:
        self._facts = {"OSType": "linux", "SecurityOptions": ["name=seccomp,profile=builtin"], **facts}

    def info(self) -> dict[str, object]:
        return self._facts


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"OSType": "windows"}, "Linux containers"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}, "maps users"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, "maps users"),
        ({"SecurityOptions": None}, "filter system calls"),
    ],
)
def test_daemon_that_cannot_be_judged_is_refused(facts: dict[str, object], told: str) -> None:
    Daemon(Told(), reach=lambda: None).judge()
    with pytest.raises(CageError, match=told) as caught:
        Daemon(Told(**facts), reach=lambda: None).judge()
    assert caught.value.hint


@needs_root
@needs_docker
@pytest.mark.parametrize("command", [["/nonexistent"], ["/bin/true"], ["/bin/sleep", "60"]])
def test_container_that_does_not_start_is_our_fault(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_process, "configuration", lambda *rest: {**CONFIGURATION(*rest), "Cmd": command})
    job = Job(
        files=submission(tmp_path, one=["1"]),
        notebooks=("one.ipynb",),
        access=b"{}",
        limits=replace(Limits(), wall_seconds=2),
    )
    with pytest.raises(CageError):
        DockerCage().run(job)
    assert _abandoned() == []


@needs_root
@needs_docker
def test_container_removed_in_the_middle_is_our_fault() -> None:
    def remove(confined: Confined, _frame: object) -> None:
        with daemon() as engine:
            engine.remove(confined.slot.name)

    with pytest.raises(CageError, match="removed while it was in use"):
        caged("send('ready'); time.sleep(20)", start=DockerCage().start, seen=remove)


def _abandoned() -> list[str]:
    """Containers of cages that nobody runs; other graders of this machine may run some meanwhile."""
    with daemon() as engine:
        names = [one["Names"][0].lstrip("/") for one in engine._api.containers(all=True, filters={"label": LABEL})]
    left = []
    for name in names:
        with slots.abandoned(name) as free:
            left += [name] * free
    return left


GRADER = """
from graders.cage import confined, Limits
from graders.cage.docker.cage import DockerCage
program = confined.Program(source="import os; os.execvp('sleep', ['sleep', '{token}'])", payload=lambda _: b"",
                           limits=Limits(), packages=False)
confined.confine(DockerCage().start, program)
"""


@needs_root
@needs_docker
def test_killed_grader_leaves_nothing(tmp_path: Path) -> None:
    token = f"300.{secrets.randbelow(10**12):012d}"
    script = tmp_path / "grader.py"
    script.write_text(GRADER.format(token=token))
    with subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(PROJECT)}) as grader:
        assert eventually(lambda: _caged_pids(token))
        grader.send_signal(signal.SIGKILL)
    assert eventually(lambda: not running(token), 5)  # without any help
    assert eventually(lambda: not _abandoned(), 5)


def _caged_pids(token: str) -> list[int]:
    return [pid for pid in running(token) if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]


@needs_root
@needs_docker
def test_proof_removes_what_is_abandoned_and_spares_what_is_held() -> None:
    program = Program(source="", payload=lambda _uid: b"", limits=Limits())
    slot = slots.Slot(slots.SLOTS - 1)
    with daemon() as engine:
        left = engine.create(slot.name, docker_container.configuration(docker_image.image(engine), slot, program))
        engine.start(left)
        with slots.abandoned(slot.name) as free:
            assert free
            engine.sweep()
            assert engine.runs(left)
        DockerCage().prove()
        assert not engine.runs(left)
    assert slot.name not in _abandoned()


class OwnDaemon:
    """A Docker daemon for one test, which may be killed. Its folder's path is short: that of a socket has 107 bytes at most."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.socket = folder / "sock"

    def up(self) -> None:
        (self._folder / "none.json").write_text("{}")
        # What it mounts goes with it; and one without a bridge takes away docker0, which is the machine's own daemon's.
        command = [
            "unshare",
            "--net",
            "--mount",
            "--propagation",
            "private",
            "dockerd",
            "--host",
            f"unix://{self.socket}",
            "--bridge",
            "none",
            "--iptables=false",
        ]
        command += ["--data-root", str(self._folder / "data"), "--exec-root", str(self._folder / "exec")]
        command += ["--pidfile", str(self._folder / "pid"), "--config-file", str(self._folder / "none.json")]
        log = self._stack.enter_context((self._folder / "log").open("ab"))
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._stack.callback(self.clear)
        assert eventually(self._answers, 30), (self._folder / "log").read_text()[-2000:]

    def clear(self) -> None:
        """End it, and the helpers of containers that a killed one has left."""
        self.process.terminate()
        self.process.wait(30)
        for pid in running(str(self._folder)):
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)
        theirs = self._folder / "exec" / "containerd" / "containerd.pid"
        os.kill(int(theirs.read_text()), signal.SIGKILL)
        for stale in (theirs, self._folder / "pid"):  # the numbers may be in use again when the next one starts
            stale.unlink()

    def _answers(self) -> bool:
        try:
            with daemon():
                return True
        except CageError:
            return False


@pytest.fixture
def own_daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnDaemon]:
    if shutil.which("dockerd") is None:
        pytest.skip("there is no dockerd to start: run .ci/dockerd")
    with ExitStack() as stack:
        made = OwnDaemon(stack.enter_context(scratch("dockerd")), stack)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.socket}")
        was_there = BRIDGE.exists()
        made.up()
        yield made
        assert BRIDGE.exists() == was_there


@needs_root
@pytest.mark.slow
def test_daemon_that_dies_in_the_middle_is_our_fault_and_leaves_nothing(own_daemon: OwnDaemon) -> None:
    pids: list[int] = []

    def kill(confined: Confined, _frame: object) -> None:
        pids.extend(confined.cgroup.pids())
        own_daemon.kill()

    with pytest.raises(CageError, match="Docker"):
        caged("send('ready'); time.sleep(20)", start=DockerCage().start, seen=kill)
    assert pids
    assert eventually(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], 5)
    own_daemon.up()
    DockerCage().prove()
    assert _abandoned() == []


@needs_root
@pytest.mark.slow
def test_image_that_was_removed_is_made_again(own_daemon: OwnDaemon, tmp_path: Path) -> None:
    cage = DockerCage()
    cage.prove()
    with daemon() as engine:
        engine._api.remove_image(docker_image.image(engine))
    assert caged("send('done')", start=cage.start).status is Status.FINISHED


@needs_root
@needs_docker
def test_image_that_goes_before_it_is_used_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_process, "image", lambda _engine: "mod209-cage:gone")
    with pytest.raises(CageError, match="could not make the cage"):
        caged("send('done')", start=DockerCage().start)
