"""The clean process that judges are forked from: it imports their libraries once, holds nothing else, and runs nothing itself.

Started by `runner.py` with a socket: each message on it asks for one judge, and carries its descriptors. It answers with
the judge's wait status. The end of the socket ends the judge that runs, and then this process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Final, NoReturn

import pytest
from _pytest.config import default_plugins

import graders.judge.plugin  # noqa: F401  # with all that it imports
from graders.judge.job import MESSAGE_BYTES, STOP, VERDICTS

DESCRIPTORS: Final = 3  # job, output, verdicts


def main() -> None:
    """Fork a judge a message, until there are no more."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    _import_all()
    channel.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, DESCRIPTORS)
        if not message:
            return
        if message == STOP:  # it came after its judge had ended
            continue
        child = os.fork()
        if child == 0:
            _judge(channel, json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if (status := _await(channel, child)) is None:
            return
        channel.send(str(status).encode())


def _import_all() -> None:
    # pytest imports these when it runs, which is what forking saves; the fork need not copy what is frozen.
    for name in default_plugins:
        importlib.import_module(f"_pytest.{name}")
    gc.collect()
    gc.freeze()


def _judge(channel: socket.socket, arguments: list[str], descriptors: list[int]) -> NoReturn:
    """Become a judge: its own session, its job as standard input, its verdicts at descriptor 3."""
    code = 70
    try:
        os.setsid()
        channel.close()
        job, output, verdicts = descriptors
        for source, target in ((job, 0), (output, 1), (output, 2), (verdicts, VERDICTS)):
            os.dup2(source, target)
        os.closerange(VERDICTS + 1, os.sysconf("SC_OPEN_MAX"))
        code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _await(channel: socket.socket, child: int) -> int | None:
    """The judge's exit code, negative for a signal; None if whoever asked for it has gone, and the judge with them."""
    handle = os.pidfd_open(child)
    try:
        gone = False
        while not select.select([handle], [], [], 0)[0]:
            ready, _, _ = select.select([handle, channel.fileno()], [], [])
            if channel.fileno() in ready:
                gone = not channel.recv(MESSAGE_BYTES)
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [])
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(handle)
    return None if gone else code


if __name__ == "__main__":
    main()
