"""One cloud's OPA: started with our two packages, open only to kube-apiserver (to ask) and to the keeper (to load)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environments.baseline.objects import HERE as BASELINE
from environments.cleanroom.apiserver import Files
from environments.cleanroom.opa import Opa, serve
from environments.pki import Authority, Pair
from environments.supervisor.process import Command

# One line of Rego can ask for terabytes, and OPA has no limit of its own: without one the machine would go down with it.
MEMORY_LIMIT = ("/usr/bin/prlimit", f"--as={2 << 30}")


@dataclass(frozen=True, kw_only=True)
class LocalOpa(Opa):
    """An OPA on this machine: how to start it, and the certificate with which kube-apiserver asks it."""

    port: int
    command: Command
    webhook: Pair


def plan(name: str, folder: Path, port: int, binary: Path) -> LocalOpa:
    """Write the certificates of cloud `name`'s OPA into `folder`, and say what to start."""
    authority = Authority(f"{name} opa")
    files = Files(folder)
    ca = files.text("opa-ca.crt", authority.cert)
    cert, key = files.pair("opa", authority.server("opa"))
    endpoint = files.endpoint("opa-keeper", port, ca, authority.client("mod209:keeper"))
    argv = [
        *(MEMORY_LIMIT if Path(MEMORY_LIMIT[0]).exists() else ()),
        str(binary),
        *serve(endpoint.url, cert, key, ca),
    ]
    command = Command(name=f"{name}/opa", argv=argv, cwd=BASELINE, ready=lambda: endpoint.answers("/health"))
    return LocalOpa(
        name=name,
        port=port,
        ca=authority.cert,
        webhook_url=f"{endpoint.url}/",
        command=command,
        keeper=endpoint,
        webhook=authority.client("mod209:webhook"),
    )
