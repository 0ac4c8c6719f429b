"""The static pod of `ways`, which tries connections from where the pods of a node are."""

from __future__ import annotations

from typing import Any, Final

PORT: Final = 8282
FOLDER: Final = "/mod209/ways"  # on the node: server.crt, server.key, and ca.crt of those who may ask
NAMESPACES: Final = "/var/run/netns"
# To enter pods' network namespaces and make one, to change the node's routes, and to listen on ports below 1024.
CAPABILITIES: Final = ("SYS_ADMIN", "NET_ADMIN", "NET_BIND_SERVICE")


def pod(image: str) -> dict[str, Any]:
    """The manifest; it belongs into `/etc/kubernetes/manifests` of the node."""
    args = [
        f"--listen=0.0.0.0:{PORT}",
        f"--cert={FOLDER}/server.crt",
        f"--key={FOLDER}/server.key",
        f"--client-ca={FOLDER}/ca.crt",
        f"--namespaces={NAMESPACES}",
    ]
    container = {
        "name": "ways",
        "image": image,
        "imagePullPolicy": "Never",
        "args": args,
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "runAsUser": 0,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
        },
        "volumeMounts": [
            {"name": "files", "mountPath": FOLDER, "readOnly": True},
            {"name": "namespaces", "mountPath": NAMESPACES, "mountPropagation": "HostToContainer"},
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ways", "namespace": "kube-system", "labels": {"mod209.io/server": "ways"}},
        "spec": {
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "containers": [container],
            "volumes": [
                {"name": "files", "hostPath": {"path": FOLDER, "type": "Directory"}},
                {"name": "namespaces", "hostPath": {"path": NAMESPACES, "type": "DirectoryOrCreate"}},
            ],
        },
    }
