"""Fixtures of the toolchain's tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from environments.tests.toolchain_mirror import RESOLVER, Handler, Machine, Mirror, Resolver


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A mirror that serves nothing yet."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mirror = Mirror(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.mirror  # type: ignore[attr-defined]
    finally:
        server.mirror.gate.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without tools, Go, connection or package index."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("MOD209_", "PIP_", "GO")):
            monkeypatch.delenv(name)
    machine = Machine(tmp_path, monkeypatch)
    machine.bin.mkdir()
    monkeypatch.setenv("PATH", str(machine.bin))
    monkeypatch.setenv("MOD209_CACHE", str(machine.cache))
    monkeypatch.setenv("MOD209_RELEASES", "http://127.0.0.1:1")  # nobody listens there: refused at once
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return machine


@pytest.fixture
def spawn(machine: Machine) -> Iterator[Callable[..., Resolver]]:
    """Starts resolvers on `machine`; those still running at the end of the test are killed."""
    started: list[Resolver] = []

    def start(*names: str, prelude: str = "") -> Resolver:
        log = machine.root / f"resolver-{len(started)}.log"
        with log.open("wb") as output:
            argv = [sys.executable, "-c", prelude + RESOLVER, *names]
            process = subprocess.Popen(argv, stdout=output, stderr=output, cwd=Path(__file__).parents[2])
        started.append(Resolver(process, log))
        return started[-1]

    yield start
    for resolver in started:
        if resolver.process.poll() is None:
            resolver.process.send_signal(signal.SIGKILL)
            resolver.process.wait()
