"""How the footprint `local` ends: by order, by Ctrl-C, by kill -9, and with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from environments.errors import FootprintError
from environments.footprint import Footprint, is_running, start, temporary

pytestmark = pytest.mark.servers


@pytest.mark.slow
def test_kill_9_of_the_supervisor_leaves_nothing_and_up_works_again(tmp_path: Path) -> None:
    directory = tmp_path / "zero-trust"
    footprint = start("zero-trust", directory=directory)
    servers = footprint.status()["servers"]
    pids = [server["pid"] for server in servers.values()]
    (supervisor,) = {psutil.Process(pid).ppid() for pid in pids}
    with pytest.raises(FootprintError, match="running already"):
        start("zero-trust", directory=directory)
    os.kill(supervisor, signal.SIGKILL)
    assert _until(lambda: not any(_alive(pid) for pid in pids))
    assert not is_running(directory)
    with pytest.raises(FootprintError, match="not running"):
        footprint.status()
    footprint.down()
    start("zero-trust", directory=directory).down()
    assert not is_running(directory)


@pytest.mark.slow
def test_a_server_that_dies_is_reported_and_the_owners_end_ends_a_bound_footprint(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from environments.footprint import start\n"
        "start('zero-trust', directory=Path(sys.argv[1]), bound=True); print('up', flush=True); time.sleep(600)"
    )
    directory = tmp_path / "zero-trust"
    with subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        footprint = Footprint(directory)
        servers = footprint.status()["servers"]
        os.kill(servers["gcp/opa"]["pid"], signal.SIGKILL)
        assert _until(lambda: footprint.status()["servers"]["gcp/opa"]["state"] == "exited (-9)")
        assert not footprint.status()["ready"]
        owner.kill()
    assert _until(lambda: not any(_alive(server["pid"]) for server in servers.values()))


@pytest.mark.slow
def test_what_a_killed_process_left_of_its_footprint_is_swept_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOD209_STATE", str(tmp_path))
    left, young = (tmp_path / "temporary" / name / "zero-trust" for name in ("left", "young"))
    for folder in (left, young):
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        (folder / "keeper.key").write_text("a key")
    os.utime(left / "lock", (0, 0))
    with temporary("zero-trust") as running:
        assert running.directory.is_relative_to(tmp_path / "temporary")
        assert not left.exists()
        assert young.exists()
    assert not running.directory.exists()


@pytest.mark.slow
def test_ctrl_c_and_kill_9_while_starting_leave_nothing(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        env = {**os.environ, "MOD209_STATE": str(tmp_path)}
        argv = [sys.executable, "-m", "assessment", "up", "zero-trust"]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=env) as up:
            assert up.stderr
            assert any("etcd is ready" in line for line in up.stderr)
            inside = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or ())]
            assert inside
            up.send_signal(number)
        assert _until(lambda: not any(_alive(process.pid) for process in inside)), number
        assert not is_running(tmp_path / "zero-trust")


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
