"""Removes a footprint's clusters when its supervisor is gone, however it went.

Run as `python -m environments.kind.undertaker NETWORK` with a pipe from the supervisor as standard input: the kernel closes
that whatever ends the supervisor, and containers are not its children, whom the kernel would end too.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from environments.errors import CourseError
from environments.kind.engine import engine
from environments.kind.removal import remove

DONE: Final = b"done\n"


class Undertaker:
    """The supervisor's end of the pipe."""

    def __init__(self, network: str) -> None:
        argv = [sys.executable, "-P", "-m", __name__, network]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True, cwd="/")

    def dismiss(self) -> None:
        """There is nothing left to remove."""
        self._process.communicate(DONE)


def main(network: str) -> int:
    """Wait for the supervisor's end; returns an exit status."""
    if sys.stdin.buffer.readline() == DONE:
        return 0
    try:
        with engine() as client:
            remove(client, network)
    except CourseError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
