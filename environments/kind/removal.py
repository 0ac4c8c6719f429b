"""Take a footprint's nodes and its network from the Docker daemon, also nodes that nobody can kill."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

from environments.kind.engine import CLUSTER_LABEL, nodes

REMOVE_SECONDS: Final = 120.0
UNDYING: Final = "did not receive an exit event"  # Docker's words
# Where cgroups are of version 1, runc freezes a pod for the moment that it changes the pod's devices. A node that is killed
# in that moment keeps the pod frozen, and the kernel kills nobody who is: the node's first process waits for it forever.
THAW: Final = 'find /freezer -path "*/$1/*" -name freezer.state | while read -r state; do echo THAWED >"$state"; done'


def remove(client: Any, network: str) -> None:
    """Remove a footprint's nodes, with their volumes, and its network; what is gone already is well."""
    from docker.errors import APIError, NotFound  # noqa: PLC0415 - an extra

    deadline = time.monotonic() + REMOVE_SECONDS
    while found := nodes(client, network):
        for node in found:
            try:
                node.remove(force=True, v=True)
            except NotFound:
                continue
            except APIError as error:
                if UNDYING in str(error.explanation):
                    _thaw(client, node)
                # Or somebody else removes it too, or it is only being made.
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.2)
    with suppress(NotFound):
        client.networks.get(network).remove()


def _thaw(client: Any, node: Any) -> None:
    """Let go what is frozen inside of a node, as its daemon's machine sees it; with the node's own image, for that is there."""
    from docker.errors import DockerException  # noqa: PLC0415
    from docker.types import Mount  # noqa: PLC0415

    with suppress(DockerException):  # where cgroups are of version 2 there is no such folder, and it is another reason
        client.containers.run(
            node.attrs["Image"],
            entrypoint=["bash", "-c", THAW, "thaw", node.id],
            privileged=True,
            network_mode="none",
            labels={CLUSTER_LABEL: node.labels[CLUSTER_LABEL]},  # whatever comes between, it goes with the rest
            mounts=[Mount("/freezer", "/sys/fs/cgroup/freezer", type="bind")],
            remove=True,
        )
