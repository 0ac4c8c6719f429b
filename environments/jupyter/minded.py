"""A command whose processes all end with it, and with us: started under `environments.jupyter.minder`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PATIENCE_SECONDS = 40.0  # more than the minder itself has


@contextmanager
def minded(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    errors: IO[bytes],
    output: int | IO[bytes],
    keep: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `argv`; when the context ends, so does everything that was started in it.

    It is in a session of its own, so that Ctrl-C in a terminal reaches us alone. `keep` are descriptors that stay open
    until the last of its processes is gone.
    """
    command = [sys.executable, "-P", "-m", "environments.jupyter.minder", *argv]
    minder = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        pass_fds=keep,
    )
    try:
        yield minder
    finally:
        _end(minder)


def _end(minder: subprocess.Popen[bytes]) -> None:
    """Tell the minder to end, and wait until nothing is left; a second Ctrl-C while it does so changes nothing."""
    if minder.stdin:
        minder.stdin.close()
    if minder.stdout:
        minder.stdout.close()
    try:
        minder.wait(PATIENCE_SECONDS)
    except KeyboardInterrupt:
        minder.wait(PATIENCE_SECONDS)
        raise
