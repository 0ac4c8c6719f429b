"""Child processes: health, early exit, and an end that is certain."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from environments.errors import FootprintError
from environments.supervisor.ports import Ports
from environments.supervisor.process import Child, Command, wait_ready


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Poll a condition to a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def python(code: str, **options: Any) -> Command:
    return Command(
        name="child", argv=[sys.executable, "-c", textwrap.dedent(code)], **{"ready": lambda: True, **options}
    )


def test_a_child_that_exits_early_is_reported_as_such_with_its_log(tmp_path: Path) -> None:
    child = Child(
        python("print('cannot bind: address in use'); raise SystemExit(3)", ready=lambda: False), tmp_path / "log"
    )
    with pytest.raises(FootprintError, match=r"exited with status 3(?s:.)*cannot bind: address in use"):
        wait_ready([child])


def test_a_child_that_never_gets_healthy_is_reported_as_such(tmp_path: Path) -> None:
    child = Child(python("import time; time.sleep(60)", ready=lambda: False, ready_seconds=0.2), tmp_path / "log")
    try:
        with pytest.raises(FootprintError, match="was not ready within"):
            wait_ready([child])
    finally:
        child.stop()


def test_stop_ends_a_child_that_ignores_sigterm_and_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = subprocess.Popen(["sleep", "600"])
        with open({str(pids)!r} + ".part", "w") as f: f.write(f"{{os.getpid()}} {{grandchild.pid}}")
        os.rename({str(pids)!r} + ".part", {str(pids)!r})
        time.sleep(600)
    """
    child = Child(python(code, ready=pids.exists, stop_seconds=0.2), tmp_path / "log")
    wait_ready([child])
    child.stop()
    assert until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids.read_text().split()))


def test_no_child_survives_its_supervisor_even_after_kill_9(tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from environments.supervisor.process import Child, Command
        child = Child(Command(name="c", argv=["sleep", "600"], ready=lambda: True), Path({str(tmp_path / "log")!r}))
        print(child.pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert until(lambda: psutil.pid_exists(pid) and "sleep" in psutil.Process(pid).cmdline()[0])
        parent.send_signal(signal.SIGKILL)
    assert until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_what_one_child_starts_on_ready_is_awaited_too(tmp_path: Path) -> None:
    first = Child(python("import time; time.sleep(60)"), tmp_path / "1")
    seen: list[Child] = []

    def on_ready(child: Child) -> list[Child]:
        seen.append(child)
        return [Child(python("import time; time.sleep(60)"), tmp_path / "2")] if child is first else []

    wait_ready([first], on_ready)
    try:
        assert len(seen) == 2
    finally:
        for child in seen:
            child.stop()


def test_two_processes_never_reserve_the_same_port() -> None:
    ours = Ports()
    try:
        mine = {ours.reserve() for _ in range(20)}
        code = "from environments.supervisor.ports import Ports; p = Ports(); print(*(p.reserve() for _ in range(200)))"
        theirs = set(
            map(
                int,
                subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(),
            )
        )
        assert len(mine) == 20
        assert len(theirs) == 200
        assert not mine & theirs
    finally:
        ours.release()


def test_released_ports_can_be_had_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.supervisor.ports.LAST", 20_003)
    ports = Ports()
    free = [ports.reserve()]
    with pytest.raises(FootprintError, match="No free TCP port"):
        while True:
            free.append(ports.reserve())
    ports.release()
    again = Ports()
    assert again.reserve() in free
    again.release()
