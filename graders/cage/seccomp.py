"""System-call filter of the cage: a classic BPF program, as bytes that bwrap loads.

Namespaces leave a few doors that this closes: vsock (reaches a virtual machine's host past the network namespace),
kernel keyrings (shared by every process of a uid), new user namespaces (capabilities over a fresh set of kernel code),
and ptrace.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from dataclasses import dataclass

from environments.errors import CageError

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian
_X32 = 0x40000000  # system calls of the x32 ABI have this bit, and would slip past a list of plain numbers
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{USER,PID,NET,NS,CGROUP,UTS,IPC}
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_CLONE3 = 435
# Newer calls have the same number on every machine: those of io_uring, of the new mount API, and pidfd_getfd.
_DENIED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442)


@dataclass(frozen=True)
class _Machine:
    audit: int
    clone: int
    socket: int
    denied: tuple[int, ...]
    has_x32: bool = False


# Per machine, in this order: ptrace, mount, umount2, pivot_root, unshare, setns, keyctl, add_key, request_key, bpf,
# perf_event_open, userfaultfd, process_vm_readv, process_vm_writev, open_by_handle_at, kcmp, kexec_load, init_module,
# finit_module, delete_module.
_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        clone=56,
        socket=41,
        denied=(101, 165, 166, 155, 272, 308, 250, 248, 249, 321, 298, 323, 310, 311, 304, 312, 246, 175, 313, 176),
        has_x32=True,
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        clone=220,
        socket=198,
        denied=(117, 40, 39, 41, 97, 268, 219, 217, 218, 280, 241, 282, 270, 271, 265, 272, 104, 105, 273, 106),
    ),
}


def program(machine: str | None = None) -> bytes:
    """The filter for a machine (default: this one), as an array of `struct sock_filter`.

    Raises:
        CageError: No filter is known for this machine.
    """
    name = machine or platform.machine()
    if (known := _MACHINES.get(name)) is None:
        raise CageError(f"the cage has no system-call filter for {name}", hint="Grade on x86_64 or aarch64.")
    steps = [*_only(known), *_namespaces(known), *_sockets(known)]
    for number in (*known.denied, *_DENIED_EVERYWHERE):
        steps += _refuse(number, errno.EPERM)
    # glibc falls back to clone, whose flags a filter can read.
    steps += _refuse(_CLONE3, errno.ENOSYS)
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, hit: int = 0, miss: int = 0) -> bytes:
    return struct.pack("<HBBI", code, hit, miss, value)


def _refuse(number: int, error: int) -> list[bytes]:
    return [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | error)]


def _only(machine: _Machine) -> list[bytes]:
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, machine.audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if machine.has_x32:
        steps += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILL)]
    return steps


def _namespaces(machine: _Machine) -> list[bytes]:
    return [
        _step(_EQUAL, machine.clone, 0, 4),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        _step(_RETURN, _ERRNO | errno.EPERM),
        _step(_RETURN, _ALLOW),
    ]


def _sockets(machine: _Machine) -> list[bytes]:
    allowed = [_step(_EQUAL, family, len(_FAMILIES) - place, 0) for place, family in enumerate(_FAMILIES)]
    body = [_step(_LOAD, _FIRST_ARGUMENT), *allowed, _step(_RETURN, _ERRNO | errno.EAFNOSUPPORT)]
    return [_step(_EQUAL, machine.socket, 0, len(body) + 1), *body, _step(_RETURN, _ALLOW)]
