"""First process of a container: take a program and its payload from outside, run it, and stay until the outside is done.

It runs as the caged user, imports nothing of this project, and knows nothing worth stealing. Its input ends with the
grader, however that ends; then it ends too, and the kernel ends all others with it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
import sys
from contextlib import suppress

PR_SET_DUMPABLE = 4
LENGTHS = struct.Struct(">QQ")  # of program and payload, which follow
INPUT, OUTPUT, ERRORS = 0, 1, 2


def main() -> None:
    """Run the program by the command that the arguments tell; its output is ours, and all that is printed our errors."""
    # Output and input are pipes that belong to the caged user: nobody else of that user may open them through us.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which the kernel hides from a first process, unlike a handler's
    program, payload = received()
    child = os.fork()
    if child == 0:
        become(sys.argv[1:], program, payload)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans leave no zombies
    for descriptor in (program, payload, OUTPUT):
        os.close(descriptor)
    wait(child)
    with suppress(ProcessLookupError):
        while True:
            os.kill(-1, signal.SIGKILL)
    os.close(ERRORS)  # the last end of both outputs: the outside sees that the run is over, and counts what it took
    select.select([INPUT], [], [])


def received() -> tuple[int, int]:
    """Program and payload, as files in memory."""
    lengths = LENGTHS.unpack(taken(LENGTHS.size))
    program, payload = (in_memory(length) for length in lengths)
    return program, payload


def in_memory(length: int) -> int:
    """The next bytes of the input as a file, at its beginning."""
    file = os.memfd_create("cage", os.MFD_CLOEXEC)
    while length:
        chunk = memoryview(taken(min(length, 1 << 20)))
        length -= len(chunk)
        while chunk:
            chunk = chunk[os.write(file, chunk) :]
    os.lseek(file, 0, os.SEEK_SET)
    return file


def taken(length: int) -> bytes:
    """The next bytes of the input; ends this process if there are no more."""
    data = b""
    while len(data) < length:
        chunk = os.read(INPUT, length - len(data))
        if not chunk:
            os._exit(1)
        data += chunk
    return data


def become(command: list[str], program: int, payload: int) -> None:
    """Turn into the program: read as standard input, told the descriptors of its payload and of its results."""
    results = os.dup(OUTPUT)
    os.dup2(program, INPUT)
    os.dup2(ERRORS, OUTPUT)
    for descriptor in (payload, results):
        os.set_inheritable(descriptor, True)  # noqa: FBT003  # takes no keywords
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and who is started would too
        signal.signal(number, signal.SIG_DFL)
    os.environ.pop("HOSTNAME", None)
    os.execv(command[0], [*command, "-", str(payload), str(results)])  # noqa: S606  # a shell is what this avoids


def wait(child: int) -> None:
    """Return once the child has ended; end with everything if the input does."""
    handle = os.pidfd_open(child)
    if INPUT in select.select([INPUT, handle], [], [])[0]:
        os._exit(1)
    os.close(handle)


if __name__ == "__main__":
    main()
