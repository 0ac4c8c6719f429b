"""A whole footprint beside bare control planes; a proved reset beside a new footprint.

`python -m environments.benchmarks.bench_footprint [--json] [--rounds N]`
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from environments.benchmarks.table import Row, main, row, seconds
from environments.footprint import SERVERS, Footprint, temporary
from environments.local import control_plane, opa
from environments.platform import platform
from environments.supervisor.ports import Ports
from environments.supervisor.process import Child, Command, wait_ready
from environments.toolchain import resolve

MIB = 1 << 20


def measure(rounds: int) -> Iterator[Row]:
    """Boots in turn; then resets of the last footprint."""
    whole, bare, memory = [], [], []
    for _ in range(rounds):
        bare.append(seconds(_bare_control_planes))
        whole.append(seconds(lambda: memory.append(_boot_once())))
    boot = statistics.median(whole)
    yield row("up, all ready / three bare etcd + kube-apiserver", "ms", 1000 * boot, 1000 * statistics.median(bare))
    yield row("memory of a footprint / the goal of 1.6 GB", "MiB", statistics.median(memory) / MIB, 1.6e9 / MIB)
    with temporary("zero-trust") as footprint:
        resets = [_reset_seconds(footprint) for _ in range(5 * rounds)]
    yield row("reset with proof / a new footprint", "ms", 1000 * statistics.median(resets), 1000 * boot)


def _boot_once() -> int:
    """Up and down again; returns resident bytes in between. Stopping is small beside starting."""
    with temporary("zero-trust") as footprint:
        rss: int = footprint.status()["rss_bytes"]
    return rss


def _reset_seconds(footprint: Footprint) -> float:
    return float(footprint.reset()["seconds"])


def _bare_control_planes() -> None:
    """The same six processes with the same flags, until /readyz, and nothing else."""
    binaries = {name: tool.path for name, tool in resolve(SERVERS).items()}
    ports = Ports()
    children: list[Child] = []
    with tempfile.TemporaryDirectory() as folder:
        planes = {}
        for name in platform().clouds:
            agent = opa.plan(name, Path(folder) / name, ports.reserve(), binaries["opa"])
            own = control_plane.Ports(
                etcd=ports.reserve(), etcd_peer=ports.reserve(), apiserver=ports.reserve(), opa=agent.port
            )
            planes[name] = control_plane.plan(name, Path(folder) / name, own, binaries, agent.webhook)

        def start(command: Command) -> Child:
            children.append(Child(command, Path(folder) / command.name.replace("/", "-")))
            return children[-1]

        def ready(child: Child) -> list[Child]:
            cloud, _, server = child.name.partition("/")
            return [start(planes[cloud].apiserver_command)] if server == "etcd" else []

        try:
            wait_ready([start(plane.etcd_command) for plane in planes.values()], ready)
        finally:
            for child in reversed(children):
                child.stop()
            ports.release()


if __name__ == "__main__":
    main(__doc__ or "", measure, rounds=3)
