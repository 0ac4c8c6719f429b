"""Make the clusters of a footprint side by side, put our servers on their nodes, and take all of it away again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from environments.errors import FootprintError, StorageError
from environments.kind import images
from environments.kind.engine import failures
from environments.kind.manifests import NODE_FOLDER, Object
from environments.kind.node import Node
from environments.supervisor.process import leashed

CREATE_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.1
AGAIN_SECONDS: Final = 0.5
STATIC_PODS: Final = "/etc/kubernetes/manifests"
HOLD: Final = ["mv", f"{STATIC_PODS}/kube-scheduler.yaml", "/etc/kubernetes"]  # the kubelet then ends it
# Processes that are one. Neither pgrep nor a whole crictl is on every node.
SCHEDULERS: Final = ["bash", "-c", "grep --no-messages --line-regexp kube-scheduler /proc/[0-9]*/comm || true"]
SHOWN: Final = 8
REASON: Final = re.compile(r"^ERROR|\berror:|\[ERROR|fatal|failed to", re.IGNORECASE)
DISK_FULL: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
GONE: Final = (
    "the Docker daemon does not answer any more.",
    "Start it, and run this again: it removes what is left.",
)
SIGNS: Final = (
    (DISK_FULL, "the disk of the Docker daemon is full.", "Free some space. What Docker holds: docker system df"),
    (
        re.compile(r"too many open files|inotify", re.IGNORECASE),
        "the machine lets nobody watch more files.",
        "Raise it, as root: sysctl -w fs.inotify.max_user_instances=1024",
    ),
    (
        re.compile(r"port is already allocated|address already in use"),
        "a port was taken by another program meanwhile.",
        "Run it again.",
    ),
    (re.compile(r"Cannot connect to the Docker daemon|error during connect"), *GONE),
    (
        re.compile(r"already exist for a cluster"),
        "a cluster of that name is there already.",
        "Remove it: kind get clusters, then kind delete cluster --name NAME",
    ),
)


class Clusters:
    """`kind create cluster` for each node, at once. Make it in the main thread: the commands end with that.

    `answers` asks the daemon; a command that it left in the middle says anything.
    """

    def __init__(
        self, kind: Path, image: str, network: str, nodes: Sequence[Node], logs: Path, answers: Callable[[], bool]
    ) -> None:
        self._answers = answers
        self._logs = {node: logs / f"{node.plane.name}-kind.log" for node in nodes}
        environment = {
            **os.environ,
            "KIND_EXPERIMENTAL_DOCKER_NETWORK": network,
            "KIND_EXPERIMENTAL_PROVIDER": "docker",
        }
        self._running = {}
        for node in nodes:
            argv = [str(kind), "create", "cluster", "--name", node.cluster, "--image", image]
            argv += ["--config", str(node.config), "--kubeconfig", str(node.folder / "kubeconfig")]
            with self._logs[node].open("ab") as log:
                self._running[node] = subprocess.Popen(
                    leashed(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )

    def wait(self, made: Callable[[Node], None], checked: Callable[[], None]) -> None:
        """Wait until all are there, telling of each that is; `checked` is asked now and then, and may raise.

        Raises:
            FootprintError: one failed, or took too long.
            StorageError: the disk is full.
        """
        deadline = time.monotonic() + CREATE_SECONDS
        while self._running:
            for node, process in list(self._running.items()):
                if (status := process.poll()) is None:
                    continue
                if status:
                    raise self._failure(node)
                del self._running[node]
                made(node)
            checked()
            if time.monotonic() > deadline:
                raise FootprintError(
                    f"The clusters were not ready within {CREATE_SECONDS:.0f} s.",
                    hint="The machine may be overloaded. Look with: mod209 doctor",
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the commands that still run; what they made stays."""
        for process in self._running.values():
            process.kill()
            process.wait()
        self._running.clear()

    def _failure(self, node: Node) -> FootprintError | StorageError:
        log = self._logs[node]
        text = log.read_text(errors="replace")
        what = f"kind could not make {node.plane.name}:"
        for sign, sentence, hint in SIGNS:
            if sign.search(text):
                kind = StorageError if sign is DISK_FULL else FootprintError
                return kind(f"{what} {sentence}", hint=hint)
        if not self._answers():
            sentence, hint = GONE
            return FootprintError(f"{what} {sentence}", hint=hint)
        # Of Go's stacks nobody learns anything.
        said = [line for line in text.splitlines() if REASON.search(line)][:SHOWN] or text.splitlines()[-SHOWN:]
        reason = "\n".join(f"  | {line[:300]}" for line in said)
        return FootprintError(f"{what}\n{reason}", hint=f"The whole log is {log}.")


class Furnisher:
    """Puts images and static pods on one node as soon as it takes them, while kind still works on the rest."""

    def __init__(self, client: Any, node: Node) -> None:
        self._client = client
        self._node = node
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End a `furnish` that is under way in another thread."""
        self._stopped.set()

    def furnish(self, servers: Mapping[str, tuple[Path, Object]], more: Sequence[Path] = ()) -> None:
        """Import each server's image and start its pod at once; then import `more`, large images that nobody waits for yet.

        Raises:
            FootprintError: the node did not take them.
        """
        for name, (archive, pod) in servers.items():
            self._import(archive)
            place(self._client, self._node, name, pod)
        for archive in more:
            self._import(archive)

    def _import(self, archive: Path) -> None:
        argv = ["ctr", "--namespace", "k8s.io", "images", "import", "--all-platforms"]
        self._insist([*argv, f"{images.MOUNT}/{archive.name}"])

    def _insist(self, argv: list[str]) -> None:
        """Run a command until it succeeds: the node has to come up first, and kind restarts its containerd once."""
        deadline = time.monotonic() + CREATE_SECONDS
        while not self._answers(argv):
            if self._stopped.wait(AGAIN_SECONDS) or time.monotonic() > deadline:
                raise FootprintError(f"The node of {self._node.plane.name} does not come up.", hint="Run it again.")

    def _answers(self, argv: list[str]) -> bool:
        from docker.errors import APIError  # noqa: PLC0415

        with failures():
            try:
                return bool(self._client.containers.get(self._node.container).exec_run(argv).exit_code == 0)
            except APIError:  # kind has not made it yet, or it has not started
                return False


def place(client: Any, node: Node, name: str, pod: Object) -> None:
    """Make `pod` a static pod of the node, in the place of one of that name."""
    shared = node.folder / "node" / f"{name}-pod.json"
    shared.write_text(json.dumps(pod))
    # Never half a file where the kubelet looks.
    on_node(client, node, ["install", "-d", STATIC_PODS])
    on_node(client, node, ["install", "-m", "0600", f"{NODE_FOLDER}/{shared.name}", f"/run/{name}.json"])
    on_node(client, node, ["mv", f"/run/{name}.json", f"{STATIC_PODS}/mod209-{name}.json"])


def on_node(client: Any, node: Node, argv: list[str]) -> str:
    """Run a command on a node; returns what it says.

    Raises:
        FootprintError: it failed.
    """
    with failures():
        done = client.containers.get(node.container).exec_run(argv)
    said = str(done.output.decode(errors="replace").strip())
    if done.exit_code != 0:
        raise FootprintError(f"{argv[0]} failed on the node of {node.plane.name}: {said[-300:]}", hint="Run it again.")
    return said
