"""The machine itself: memory, disk, ports, clock, proxies, limits."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from environments.doctor.finding import Finding, Group, Machine, fine
from environments.kind.runtime import obstacle
from environments.paths import cache_dir, state_dir

GIB: Final = 1 << 30
LOCAL_BYTES, KIND_BYTES = int(1.6 * GIB), 4 * GIB
BUILD_BYTES, CLUSTERS_BYTES = 5 * GIB, 8 * GIB
WATCHES: Final = 512  # seven nodes are too many for Debian's 128
OPEN_FILES: Final = 1024
PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def memory(machine: Machine) -> Iterator[Finding]:
    """What is free now, and what a container may have."""
    found = re.search(r"^MemAvailable:\s+(\d+)", (machine.proc / "meminfo").read_text(), re.MULTILINE)
    free = int(found.group(1)) << 10 if found else 0
    limit = _limit(machine)
    free = min(free, limit) if limit else free
    needs: tuple[tuple[Group, int], ...] = (("labs", LOCAL_BYTES), ("kind", KIND_BYTES))
    for group, needed in needs:
        seen = f"{free / GIB:.1f} GiB of memory are free, {needed / GIB:.1f} are needed."
        if free >= needed:
            yield fine(group, "memory", seen)
        else:
            cure = "Close other programs, or give the machine (WSL2: .wslconfig; Docker Desktop: Resources) more."
            yield Finding(group=group, name="memory", state="problem", seen=seen, cure=cure)


def _limit(machine: Machine) -> int | None:
    for path in ("fs/cgroup/memory.max", "fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int((machine.sys / path).read_text())
        except (OSError, ValueError):  # "max" where there is none
            continue
    return None


def runtime(machine: Machine) -> Iterator[Finding]:
    """Whether Falco could watch pods; whether its image is there is found out when a lab needs it."""
    if reason := obstacle(machine.proc, machine.sys):
        seen, cure = f"Falco cannot run: {reason}.", "Tasks of runtime detection are not graded here; all others are."
        yield Finding(group="kind", name="runtime", state="warning", seen=seen, cure=cure)
    else:
        yield fine("kind", "runtime", "Falco may run: the kernel and this machine's capabilities allow it.")


def disk(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001 - every examination takes the machine
    """Room where tools, footprints and scratch files go, and whether programs may run from there."""
    for name, folder in (("cache", cache_dir()), ("state", state_dir())):
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
        free = shutil.disk_usage(nearest).free
        seen = f"{free / GIB:.1f} GiB are free for {name} ({folder})."
        move = f"or set MOD209_{name.upper()} to a folder elsewhere."
        if not os.access(nearest, os.W_OK):
            seen = f"{nearest} cannot be written."
            yield Finding(group="labs", name="disk", state="problem", seen=seen, cure=f"Make it yours, {move}")
        elif name == "cache" and os.statvfs(nearest).f_flag & os.ST_NOEXEC:
            seen = f"Programs may not run from {nearest} (noexec)."
            yield Finding(group="labs", name="disk", state="problem", seen=seen, cure=f"Mount it anew, {move}")
        elif free < BUILD_BYTES:
            yield Finding(group="labs", name="disk", state="warning", seen=seen, cure=f"Free some, {move}")
        else:
            yield fine("labs", "disk", seen)


def ports(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001
    """Whether servers can listen on loopback."""
    try:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
    except OSError as error:
        cure = "Bring the loopback up: ip link set lo up"
        yield Finding(
            group="labs",
            name="ports",
            state="problem",
            seen=f"Nobody can listen on 127.0.0.1: {error.strerror}.",
            cure=cure,
        )
    else:
        yield fine("labs", "ports", "Servers can listen on 127.0.0.1.")


def clock(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001
    """Certificates are made with this machine's time; one that stands in the past makes all of them invalid."""
    newest = max(path.stat().st_mtime for path in Path(__file__).parents[1].glob("*.py"))
    now = time.strftime("%Y-%m-%d %H:%M")
    if time.time() < newest - 86400:
        cure = "Set it: timedatectl set-ntp true (WSL2: wsl --shutdown, then start again)"
        yield Finding(
            group="labs",
            name="clock",
            state="problem",
            seen=f"It is {now} here, before this program was installed.",
            cure=cure,
        )
    else:
        yield fine("labs", "clock", f"It is {now} here.")


def proxies(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001
    """A proxy must not get in the way of loopback. Its address may hold a password, so it is not shown."""
    named = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    kept = (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",")
    if named and "127.0.0.1" not in (one.strip() for one in kept):
        seen = (
            f"{', '.join(named)} is set, and NO_PROXY leaves 127.0.0.1 out: kubectl and notebooks would ask the proxy."
        )
        cure = 'export NO_PROXY="127.0.0.1,localhost,$NO_PROXY"'
        yield Finding(group="labs", name="proxies", state="warning", seen=seen, cure=cure)
    else:
        yield fine("labs", "proxies", "No proxy is in the way of 127.0.0.1.")


def limits(machine: Machine) -> Iterator[Finding]:
    """Open files, and watches of files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < OPEN_FILES:
        yield Finding(
            group="labs",
            name="limits",
            state="warning",
            seen=f"A process may open {files} files.",
            cure="ulimit -n 4096",
        )
    else:
        yield fine("labs", "limits", f"A process may open {files} files.")
    watches = machine.number("sys/fs/inotify/max_user_instances")
    if watches is not None and watches < WATCHES:
        seen = f"fs.inotify.max_user_instances is {watches}: enough for one footprint, not for two at once."
        cure = "As root: sysctl -w fs.inotify.max_user_instances=1024"
        yield Finding(group="kind", name="limits", state="warning", seen=seen, cure=cure)
