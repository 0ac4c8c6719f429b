"""Files that a cloud's API server reads, the same on every provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from environments.cleanroom.endpoint import Endpoint
from environments.pki import Pair

ANONYMOUS_PATHS: Final = ("/livez", "/readyz", "/.well-known/openid-configuration", "/openid/v1/jwks")
API: Final = "apiserver.config.k8s.io/v1"


def authentication() -> dict[str, Any]:
    """Anonymous requests reach health and the issuer's public keys, nothing else."""
    anonymous = {"enabled": True, "conditions": [{"path": path} for path in ANONYMOUS_PATHS]}
    return {"apiVersion": API, "kind": "AuthenticationConfiguration", "anonymous": anonymous}


def webhook_client(files: Files, opa_port: int, webhook: Pair, seen_as: Path) -> dict[str, Any]:
    """Makes kube-apiserver show a client certificate to OPA, and to no other webhook.

    `seen_as` is where the API server, on its own machine, finds what `files` writes.
    """
    files.pair("webhook-client", webhook)
    names = {"client-certificate": "webhook-client.crt", "client-key": "webhook-client.key"}
    user = {"name": f"127.0.0.1:{opa_port}", "user": {key: str(seen_as / name) for key, name in names.items()}}
    config = files.json("webhook-kubeconfig.json", {"apiVersion": "v1", "kind": "Config", "users": [user]})
    plugin = {
        "name": "ValidatingAdmissionWebhook",
        "configuration": {
            "apiVersion": API,
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": str(seen_as / config.name),
        },
    }
    return {"apiVersion": API, "kind": "AdmissionConfiguration", "plugins": [plugin]}


class Files:
    """Writes into one folder; every file is for its owner's eyes only, as the process' umask says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def text(self, name: str, content: str) -> Path:
        """Write a text."""
        path = self.folder / name
        path.write_text(content)
        return path

    def json(self, name: str, content: dict[str, Any]) -> Path:
        """Write a JSON document."""
        return self.text(name, json.dumps(content))

    def pair(self, name: str, pair: Pair) -> tuple[Path, Path]:
        """Write `NAME.crt` and `NAME.key`."""
        return self.text(f"{name}.crt", pair.cert), self.text(f"{name}.key", pair.key)

    def endpoint(self, name: str, port: int, ca: Path, pair: Pair) -> Endpoint:
        """A server on this machine, to which one goes with `pair`."""
        cert, key = self.pair(name, pair)
        return Endpoint(url=f"https://127.0.0.1:{port}", ca=ca, cert=cert, key=key)
