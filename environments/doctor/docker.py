"""Docker, which provider kind needs and one of the cages can use."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from environments.doctor import clusters
from environments.doctor.finding import Finding, Machine, fine
from environments.doctor.machine import CLUSTERS_BYTES, GIB

SECONDS: Final = 5.0
DAEMON: Final = "Docker"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
SOCKET_HOST: Final = "http://docker"
INSTALL: Final = "Install it: apt-get install docker.io (WSL2: switch on Docker Desktop's integration; macOS: use the container image)"
START: Final = "Start it: systemctl start docker (without systemd, as root: dockerd &)"
# What a privileged container asks for; where it is out of reach, runc must be told not to.
CAPABILITIES: Final = {21: "CAP_SYS_ADMIN", 12: "CAP_NET_ADMIN", 24: "CAP_SYS_RESOURCE"}


def docker(machine: Machine) -> Iterator[Finding]:
    """Whether a daemon answers, of what kind, and with what around it."""
    told = _ask(machine)
    if isinstance(told, Finding):
        yield told
        return
    yield fine(
        "kind", DAEMON, f"Docker {told.get('ServerVersion', '?')} answers, cgroup v{told.get('CgroupVersion', '1')}."
    )
    if any("rootless" in option for option in told.get("SecurityOptions") or ()):
        seen = "The daemon is rootless; clusters were not tried on such a one."
        yield Finding(group="kind", name=DAEMON, state="warning", seen=seen, cure="Use a daemon that runs as root.")
    if not (machine.sys / "class/net/docker0").exists() and "DOCKER_HOST" not in os.environ:
        seen = "The bridge docker0 is gone: containers on Docker's own network cannot start."
        yield Finding(
            group="kind", name=DAEMON, state="problem", seen=seen, cure="Restart the daemon: systemctl restart docker"
        )
    root = Path(str(told.get("DockerRootDir", "")))
    if root.is_dir() and (free := shutil.disk_usage(root).free) < CLUSTERS_BYTES:
        seen = f"{free / GIB:.1f} GiB are free where Docker keeps its images; clusters and their image take 8."
        yield Finding(group="kind", name=DAEMON, state="warning", seen=seen, cure="Look what can go: docker system df")
    yield from _capabilities(machine, told)
    if host := _elsewhere():
        seen = f"DOCKER_HOST is {host}: clusters need a daemon on this machine, whose files and loopback they share."
        yield Finding(group="kind", name=DAEMON, state="problem", seen=seen, cure="Unset it, and start a daemon here.")
    yield from clusters.around(told)


def _elsewhere() -> str:
    """The daemon that the environment names, if it is none of this machine's."""
    host = os.environ.get("DOCKER_HOST", "")
    address = re.sub(r"^\w+://(.*@)?", "", host)  # without a password
    here = not host or host.startswith("unix://") or address.rpartition(":")[0].strip("[]") in LOOPBACK
    return "" if here else address


def _ask(machine: Machine) -> dict[str, Any] | Finding:
    """What the daemon says of itself, or why it does not."""
    host, path = os.environ.get("DOCKER_HOST", ""), ""
    if host and not host.startswith("unix://"):
        transport, base = httpx.HTTPTransport(), host.replace("tcp://", "http://")
    else:
        path = host.removeprefix("unix://") or str(machine.socket)
        transport, base = httpx.HTTPTransport(uds=path), SOCKET_HOST
    try:
        if base == SOCKET_HOST:
            _knock(path)
        with httpx.Client(transport=transport, base_url=base, timeout=SECONDS) as client:
            told: dict[str, Any] = client.get("/info").raise_for_status().json()
            return told | clusters.ask(client)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return _absent(host, error)


def _knock(path: str) -> None:
    """Connect once: this says why not, and leaves no half-made connection behind as a failing client does."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(SECONDS)
        one.connect(path)


def _absent(host: str, error: Exception) -> Finding:
    number = _number(error)
    if host:
        seen, cure = (
            f"DOCKER_HOST is {host.rsplit('@', maxsplit=1)[-1]}, and nobody answers there.",
            "Unset it, or start that daemon.",
        )
    elif number == errno.EACCES:
        seen, cure = "You have no right to speak to Docker.", "sudo usermod -aG docker $USER, then log in again."
    elif not shutil.which("dockerd") and not shutil.which("docker"):
        seen, cure = "Docker is not installed.", INSTALL
    else:
        seen, cure = "Docker is installed, and its daemon does not run.", START if shutil.which("dockerd") else INSTALL
    return Finding(group="kind", name=DAEMON, state="problem", seen=seen, cure=cure)


def _number(error: BaseException | None) -> int | None:
    while error:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _capabilities(machine: Machine, told: dict[str, Any]) -> Iterator[Finding]:
    lines = (machine.proc / "self/status").read_text().splitlines()
    bounding = next((int(line.split()[1], 16) for line in lines if line.startswith("CapBnd")), -1)
    lacking = [name for bit, name in CAPABILITIES.items() if not bounding >> bit & 1]
    if not lacking:
        yield fine("kind", "privileges", "Privileged containers can start.")
    elif lacking == ["CAP_SYS_RESOURCE"] and told.get("DefaultRuntime") not in (None, "runc"):
        yield fine("kind", "privileges", "CAP_SYS_RESOURCE is out of reach, and Docker's runtime does without it.")
    else:
        seen = f"{', '.join(lacking)} is out of reach here, so that privileged containers cannot start."
        cure = (
            "Run .ci/dockerd, which makes runc do without CAP_SYS_RESOURCE; the others must be given to this machine."
        )
        yield Finding(group="kind", name="privileges", state="problem", seen=seen, cure=cure)
