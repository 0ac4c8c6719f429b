"""Keeps JupyterLab and all that was started in it, and ends all of it when its owner ends, whatever ends that.

Run as `python -m environments.jupyter.minder COMMAND…`, with the owner's pipe as standard input. Kernels and terminals put
themselves into sessions of their own, so that no signal to a group reaches them all. They are this process' children or
come to it when their own parents die (PR_SET_CHILD_SUBREAPER), so that it can end them to the last one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from environments.supervisor.process import leashed

_PR_SET_CHILD_SUBREAPER = 36
POLITE_SECONDS = 10.0  # JupyterLab ends its kernels; a footprint that was started in it ends its servers
SWEEP_SECONDS = 10.0
POLL_SECONDS = 0.1


class StopRequest(BaseException):
    """The owner is gone, or somebody asked for the end."""


def mind(argv: Sequence[str]) -> int:
    """Run `argv` until it ends or standard input does, then end all its descendants; returns its exit status."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(leashed(argv), stdin=subprocess.DEVNULL)
    try:
        while child.poll() is None:
            ready, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
            if ready and not os.read(sys.stdin.fileno(), 1):
                break
    except StopRequest:
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _end(child)
        _sweep()
    return child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(POLITE_SECONDS)
    child.kill()
    child.wait()


def _sweep() -> None:
    """End what is left: politely at first, then for certain. Orphans come to us one generation after another."""
    polite_until = time.monotonic() + POLITE_SECONDS
    deadline = polite_until + SWEEP_SECONDS
    asked: set[int] = set()
    while (left := _children()) and time.monotonic() < deadline:
        forced = time.monotonic() > polite_until
        for pid in left if forced else left - asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if forced else signal.SIGTERM)
        asked |= left
        _reap()
        time.sleep(POLL_SECONDS)


def _children() -> set[int]:
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return {int(pid) for pid in own.read_text().split()}


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _stop(*_: object) -> None:
    raise StopRequest


if __name__ == "__main__":
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signal_number, _stop)
    sys.exit(mind(sys.argv[1:]))
