"""Falco as a static pod of each node, after the publisher's chart (`modern_ebpf`, `leastPrivileged`).

Its rules and what finds out containers' names are in its image; it asks nobody for more. The nodes of all clouds share
this machine's kernel, so each Falco sees all that happens on it; names of pods it knows of its own node alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import httpx

from environments.errors import CourseError
from environments.kind.clusters import STATIC_PODS, on_node, place
from environments.kind.health import SERVER_LABEL
from environments.kind.images import MOUNT
from environments.kind.manifests import NAMESPACE, Object
from environments.kind.node import Node
from environments.kind.runtime import CAPABILITIES, NAME, archive

PORT: Final = 8765
GRACE_SECONDS: Final = 15.0  # after everything else is ready: it began long before
GONE_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 0.3
RUNNING, ENDED, SILENT = "running", "ended", "silent"
OPTIONS: Final = {
    "engine.kind": "modern_ebpf",
    "json_output": "true",
    "buffered_outputs": "false",
    "syslog_output.enabled": "false",
    "watch_config_files": "false",  # nobody changes them, and watches are scarce
    "webserver.enabled": "true",
    "webserver.listen_address": "127.0.0.1",
    "webserver.listen_port": str(PORT),
}
MOUNTS: Final = {
    "proc": ("/proc", "/host/proc"),
    "etc": ("/etc", "/host/etc"),
    "kernel": ("/sys/kernel", "/sys/kernel"),
    "containerd": ("/run/containerd/containerd.sock", "/host/run/containerd/containerd.sock"),
}


def pod(image: str) -> Object:
    """The manifest. It is never started again: a Falco that ends stays ended, and is seen to be so."""
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["/usr/bin/falco", *(word for key, value in OPTIONS.items() for word in ("-o", f"{key}={value}"))],
        "env": [{"name": "HOST_ROOT", "value": "/host"}],
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": {
            "httpGet": {"host": "127.0.0.1", "port": PORT, "path": "/healthz"},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
            "appArmorProfile": {"type": "Unconfined"},
        },
        "volumeMounts": [{"name": name, "mountPath": inside, "readOnly": True} for name, (_, inside) in MOUNTS.items()],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {SERVER_LABEL: NAME}},
        "spec": {
            "hostNetwork": True,  # as OPA: no NetworkPolicy stands between, and no pod reaches it on loopback
            "restartPolicy": "Never",
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            "volumes": [{"name": name, "hostPath": {"path": outside}} for name, (outside, _) in MOUNTS.items()],
        },
    }


class Watch:
    """Falco on the nodes of a footprint: it starts beside everything else, and is taken away unless it is well on all."""

    def __init__(self, client: Any, image: str, logs: Path, manifest: Callable[[str], Object] = pod) -> None:
        self._client = client
        self._manifest = manifest(image)
        self._archive = archive(image).name
        self._logs = logs
        self._nodes: list[Node] = []
        self._faults: dict[Node, str] = {}
        self._lock = threading.Lock()
        self._is_over = False

    def start(self, node: Node) -> None:
        """Put it on a node whose cluster is there, in a thread of its own."""
        self._nodes.append(node)
        threading.Thread(target=self._put, args=(node,), daemon=True, name=f"{NAME} of {node.plane.name}").start()

    def settle(self, grace: float = GRACE_SECONDS) -> str:
        """Wait until it is well on all nodes; otherwise take it away from all. Returns the reason then, else nothing."""
        deadline = time.monotonic() + grace
        while True:
            states = {node: self._state(node) for node in self._nodes}
            if all(state == RUNNING for state in states.values()):
                return ""
            if ended := [node for node, state in states.items() if state.startswith(ENDED)]:
                return self._take_away(f"Falco {states[ended[0]]}", ended)
            if time.monotonic() > deadline:
                late = [node for node, state in states.items() if state != RUNNING]
                return self._take_away("Falco did not get healthy in time", late)
            time.sleep(AGAIN_SECONDS)

    def states(self) -> dict[str, bool]:
        """Whether each cloud's is well."""
        return {node.plane.name: self._state(node) == RUNNING for node in self._nodes}

    def _put(self, node: Node) -> None:
        try:
            # For this platform alone: archives of today's daemons name the other ones, and do not hold them.
            argv = ["ctr", "--namespace", "k8s.io", "images", "import", f"{MOUNT}/{self._archive}"]
            on_node(self._client, node, argv)
            with self._lock:
                if not self._is_over:
                    place(self._client, node, NAME, self._manifest)
        except CourseError as error:
            self._faults[node] = error.message.rstrip(".")

    def _state(self, node: Node) -> str:
        if node in self._faults:
            return f"{ENDED} ({self._faults[node]})"
        status = (_found(node) or {}).get("status", {})
        if status.get("phase") in ("Failed", "Succeeded"):
            codes = [one["state"].get("terminated", {}).get("exitCode") for one in status.get("containerStatuses", ())]
            return f"{ENDED} (code {', '.join(map(str, codes))})"
        is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))
        return RUNNING if is_ready else SILENT

    def _take_away(self, what: str, where: Iterable[Node]) -> str:
        with self._lock:
            self._is_over = True
        for node in self._nodes:
            self._keep_log(node)
            with contextlib.suppress(CourseError):
                on_node(self._client, node, ["rm", "-f", f"{STATIC_PODS}/mod209-{NAME}.json"])
        deadline = time.monotonic() + GONE_SECONDS
        while any(map(_found, self._nodes)) and time.monotonic() < deadline:
            time.sleep(AGAIN_SECONDS)
        names = [node.plane.name for node in where]
        return f"{what} on {', '.join(names)}; what it said is in logs/{names[0]}-{NAME}.log"

    def _keep_log(self, node: Node) -> None:
        text = _get(node, f"{_path(node)}/log")
        (self._logs / f"{node.plane.name}-{NAME}.log").write_bytes(text.content if text else b"")


def _path(node: Node) -> str:
    return f"/api/v1/namespaces/{NAMESPACE}/pods/{NAME}-{node.container}"


def _found(node: Node) -> Object | None:
    answer = _get(node, _path(node))
    return dict(answer.json()) if answer else None


def _get(node: Node, path: str) -> httpx.Response | None:
    """What the API server answers; None if it does not, or has no such thing."""
    try:
        with node.plane.keeper.client(timeout=5.0) as client:
            answer = client.get(path)
    except (httpx.HTTPError, OSError):
        return None
    return answer if answer.status_code == httpx.codes.OK else None
