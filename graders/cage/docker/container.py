"""One container as the Engine API takes it: whose it is, what it sees, and what it may use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from graders.cage import interpreter, seccomp
from graders.cage.base import Limits
from graders.cage.confined import Program, rlimits
from graders.cage.docker.daemon import LABEL
from graders.cage.docker.image import FIRST, every_uid
from graders.cage.root import Layout, environment, layout
from graders.cage.slots import Slot

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # Docker has an option of its own for it
# What a container engine shows of the machine, and no notebook needs; /sys tells much of the hardware.
_MASKED: Final = (
    "/dev/mqueue",
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys",
)


def configuration(image: str, slot: Slot, program: Program) -> dict[str, Any]:
    """A container that waits for its program; see `inside/first.py`."""
    python = interpreter.current()
    root = layout(python, program.limits, every_uid(), program.course)
    command = [python.python, "-I", "-S", FIRST, python.python, *program.flags]
    return {
        "Image": image,
        "User": f"{slot.uid}:{slot.uid}",
        "Cmd": [str(word) for word in command],
        "Env": [f"{name}={value}" for name, value in environment(python).items()],
        "WorkingDir": "/home",
        "Hostname": "cage",
        "Labels": {LABEL: slot.name},
        # Without a network Docker would still copy the host's name servers in; so it is told not to care at all.
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,  # the input ends when the grader does
        "HostConfig": {**_isolation(), **_limits(program.limits), **_sights(root)},
    }


def _isolation() -> dict[str, Any]:
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={json.dumps(seccomp.profile())}"],
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "AutoRemove": True,
        "LogConfig": {"Type": "none"},
    }


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,  # memory and swap together: no swap
        "PidsLimit": limits.processes,
        "Ulimits": [{"Name": name, "Soft": value, "Hard": value} for name, value in rlimits(limits).items()],
    }


def _sights(root: Layout) -> dict[str, Any]:
    writable = dict(root.writable)
    return {
        "ReadonlyRootfs": True,
        "ShmSize": writable.pop(_SHARED_MEMORY),
        "Tmpfs": {str(path): f"rw,exec,nosuid,nodev,size={size},mode=1777" for path, size in writable.items()},
        "Mounts": [_shown(outside, inside) for inside, outside in root.shown.items()],
        "MaskedPaths": [*_MASKED, *map(str, root.hidden)],
    }


def _shown(outside: Path, inside: Path) -> dict[str, Any]:
    # Read-only is only the topmost of mounts in mounts, so what is mounted below is not shown.
    options = {"Propagation": "rprivate", "NonRecursive": True}
    return {
        "Type": "bind",
        "Source": str(outside),
        "Target": str(inside),
        "ReadOnly": True,
        "BindOptions": options,
    }
