"""Static pods of a node: OPA and Vault. No API can change or end them, so they are out of everybody's reach but ours.

They use the node's own network: the API server asks OPA before any pod has an address, and no NetworkPolicy stands between.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from environments.cleanroom.opa import serve

NODE_FOLDER: Final = "/mod209"  # where a node finds the footprint's files
OPA_PORT: Final = 8181
VAULT_PORT: Final = 8200
NAMESPACE: Final = "kube-system"
Object = dict[str, Any]


def opa(image: str) -> Object:
    """The pod of OPA, which reads its policies and certificates from `opa/` of the node's folder."""
    # The node's address; on the machine it is published on loopback alone.
    args = serve(f"https://0.0.0.0:{OPA_PORT}", "server.crt", "server.key", "ca.crt")
    # One line of Rego can ask for terabytes, and OPA has no limit of its own.
    return _pod("opa", image, args, limits={"memory": "2Gi"})


def vault(image: str, renewal: int) -> Object:
    """The pod of Vault, with its files in `vault/` of the node's folder; another `renewal` makes it a new, empty one."""
    return _pod("vault", image, ["server", "-config=vault.json"], writes=True, env={"MOD209_RENEWAL": str(renewal)})


def _pod(
    name: str,
    image: str,
    args: Sequence[str],
    *,
    limits: Mapping[str, str] | None = None,
    writes: bool = False,
    env: Mapping[str, str] | None = None,
) -> Object:
    folder = f"{NODE_FOLDER}/{name}"
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "args": list(args),
        "workingDir": folder,
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "resources": {"requests": {"cpu": "50m"}, "limits": dict(limits or {})},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "files", "mountPath": folder, "readOnly": not writes}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"mod209.io/server": name}},
        "spec": {
            "hostNetwork": True,
            "dnsPolicy": "Default",  # the node's, which knows the other clouds' nodes
            "priorityClassName": "system-node-critical",
            # The files belong to whoever started the footprint, and so does what is written to them.
            "securityContext": {"runAsUser": os.getuid(), "runAsGroup": os.getgid()},
            "containers": [container],
            "volumes": [{"name": "files", "hostPath": {"path": folder, "type": "Directory"}}],
        },
    }
