"""One cloud's OPA: started with our two packages, open only to kube-apiserver (to ask) and to the keeper (to load)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environments.baseline.objects import HERE as BASELINE
from environments.cleanroom.endpoint import Endpoint
from environments.cleanroom.opa import Opa
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
    keeper, server = authority.client("mod209:keeper"), authority.server("opa")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in {
        "opa-ca.crt": authority.cert,
        "opa.crt": server.cert,
        "opa.key": server.key,
        "opa-keeper.crt": keeper.cert,
        "opa-keeper.key": keeper.key,
    }.items():
        (folder / file).write_text(text)
    endpoint = Endpoint(
        url=f"https://127.0.0.1:{port}",
        ca=folder / "opa-ca.crt",
        cert=folder / "opa-keeper.crt",
        key=folder / "opa-keeper.key",
    )
    argv = [
        *(MEMORY_LIMIT if Path(MEMORY_LIMIT[0]).exists() else ()),
        str(binary),
        "run",
        "--server",
        f"--addr={endpoint.url}",
        f"--tls-cert-file={folder / 'opa.crt'}",
        f"--tls-private-key-file={folder / 'opa.key'}",
        f"--tls-ca-cert-file={endpoint.ca}",
        "--authentication=tls",
        "--authorization=basic",
        "--skip-version-check",
        "--log-level=error",
        "--log-format=json",
        "--set=decision_logs.console=true",
        # Relative, since OPA names modules by the path given, and its errors reach learners.
        "system.rego",
        "authz.rego",
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
