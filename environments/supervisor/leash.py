"""Run as a script, `leash.py PARENT COMMAND…`: becomes COMMAND, which the kernel kills when process PARENT dies.

A script and not a `preexec_fn`, because forking Python code out of a process with threads can deadlock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != int(sys.argv[1]):
        sys.exit("parent died before its child began")
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - becoming the command is the point
