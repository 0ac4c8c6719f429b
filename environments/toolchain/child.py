"""Run one long command (go, pip) that never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from environments.supervisor.process import leashed

_POLL_SECONDS: Final = 0.2


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    timeout: float,
    tick: Callable[[], None],
) -> int | None:
    """Run `argv` with all output to `log`, calling `tick` now and then; its whole process group is killed in the end.

    Whatever `tick` raises (`CancelledError`, when the caller gave up) ends the command.

    Returns:
        The exit status, or None when it did not end within `timeout` seconds.
    """
    with log.open("wb") as output:
        child = subprocess.Popen(
            leashed(argv),
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(_POLL_SECONDS)
            tick()
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
