"""Runs in the cage: imports once what every kernel needs, and becomes a kernel in a fork for each notebook.

Each notebook still has a process and a memory of its own. What is imported is ours and the kernel's, never a learner's,
and asked for before anything of a learner's has run. A hostile notebook runs as the same user: it can end this process,
and the next notebook then gets a kernel in the ordinary way.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

PR_SET_DUMPABLE = 4
MESSAGE = 1 << 20


def main() -> None:
    """Serve requests from the socket in the first argument until it is closed; the other arguments are modules."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    _set_dumpable(0)
    for name in sys.argv[2:]:
        with suppress(Exception):  # a kernel that lacks one says so itself
            importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels that have ended leave no zombies
    while request := requests.recv(MESSAGE):
        if os.fork() == 0:
            os.setsid()  # before anybody hears of it: who asked will signal its whole group
            requests.send(str(os.getpid()).encode())
            requests.close()
            become(json.loads(request))


def become(request: dict[str, Any]) -> None:
    """Turn into the kernel that was asked for, as if it had been started by its command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _set_dumpable(1)  # else it could not look at itself below /proc
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [*request["argv"], f"--IPKernelApp.parent_handle={os.getppid()}"]
    if sys.path[0] == "":
        del sys.path[0]
    from ipykernel.kernelapp import launch_new_instance  # noqa: PLC0415  # where it failed to load, the kernel fails

    try:
        launch_new_instance()
    finally:
        os._exit(0)


def _set_dumpable(value: int) -> None:
    """Whether others of the same user may look into this process."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, value, 0, 0, 0)


if __name__ == "__main__":
    main()
