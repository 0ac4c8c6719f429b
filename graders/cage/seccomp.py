"""System-call filter of the cages: a classic BPF program for bwrap, and the same as Docker's profile, from one list.

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
from typing import Any, Final

from environments.errors import CageError

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian
_X32 = 0x40000000  # system calls of the x32 ABI have this bit, and would slip past a list of plain numbers
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{USER,PID,NET,NS,CGROUP,UTS,IPC}
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_CLONE3 = 435  # on every machine, as with all newer calls


@dataclass(frozen=True)
class _Machine:
    audit: int
    profile: str
    clone: int
    socket: int
    has_x32: bool = False


_MACHINES: Final = {
    "x86_64": _Machine(audit=0xC000003E, profile="SCMP_ARCH_X86_64", clone=56, socket=41, has_x32=True),
    "aarch64": _Machine(audit=0xC00000B7, profile="SCMP_ARCH_AARCH64", clone=220, socket=198),
}
# Numbers by machine, in the order of `_MACHINES`; None where the machine lacks the call.
_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    # mounts, namespaces, files past their paths
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # what the kernel keeps for all
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "syslog": (103, 116),
    # the machine itself
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "iopl": (172, None),
    "ioperm": (173, None),
}


def denied(machine: str | None = None) -> tuple[int, ...]:
    """Numbers of the calls that fail with `EPERM` on a machine (default: this one).

    Raises:
        CageError: No filter is known for this machine.
    """
    _known(machine)
    place = list(_MACHINES).index(machine or platform.machine())
    return tuple(number for numbers in _DENIED.values() if (number := numbers[place]) is not None)


def program(machine: str | None = None) -> bytes:
    """The filter for a machine (default: this one), as an array of `struct sock_filter`.

    Raises:
        CageError: No filter is known for this machine.
    """
    known = _known(machine)
    steps = [*_only(known), *_namespaces(known), *_sockets(known)]
    for number in denied(machine):
        steps += _refuse(number, errno.EPERM)
    # glibc falls back to clone, whose flags a filter can read.
    steps += _refuse(_CLONE3, errno.ENOSYS)
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def profile(machine: str | None = None) -> dict[str, Any]:
    """The same filter as Docker takes it.

    Raises:
        CageError: No filter is known for this machine.
    """
    known = _known(machine)
    flags = [1 << bit for bit in range(32) if _NEW_NAMESPACES >> bit & 1]
    last = max(_FAMILIES)
    families = [family for family in range(last) if family not in _FAMILIES]
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [known.profile],  # any other kills
        "syscalls": [
            _rule(list(_DENIED), errno.EPERM),
            _rule(["clone3"], errno.ENOSYS),
            *(_rule(["clone"], errno.EPERM, "SCMP_CMP_MASKED_EQ", flag, flag) for flag in flags),
            *(_rule(["socket"], errno.EAFNOSUPPORT, "SCMP_CMP_EQ", family) for family in families),
            _rule(["socket"], errno.EAFNOSUPPORT, "SCMP_CMP_GT", last),
        ],
    }


def _known(machine: str | None) -> _Machine:
    name = machine or platform.machine()
    if (known := _MACHINES.get(name)) is None:
        raise CageError(f"the cage has no system-call filter for {name}", hint="Grade on x86_64 or aarch64.")
    return known


def _rule(names: list[str], error: int, operator: str = "", value: int = 0, masked: int = 0) -> dict[str, Any]:
    condition = {"index": 0, "value": int(value), "valueTwo": masked, "op": operator}
    return {
        "names": names,
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": int(error),
        "args": [condition] if operator else [],
    }


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
