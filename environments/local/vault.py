"""The footprint's Vault as a process: its files, and how to start it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from environments.cleanroom.endpoint import Endpoint
from environments.cleanroom.vault import Vault, is_running
from environments.pki import Authority
from environments.supervisor.process import Command


@dataclass(frozen=True, kw_only=True)
class LocalVault(Vault):
    """Vault on this machine, and how to start it."""

    command: Command


def plan(folder: Path, port: int, binary: Path, authority: Authority) -> LocalVault:
    """Write Vault's configuration into `folder`, and say what to start."""
    folder.mkdir(parents=True, exist_ok=True)
    server = authority.server("vault")
    for file, text in {"ca.crt": authority.cert, "vault.crt": server.cert, "vault.key": server.key}.items():
        (folder / file).write_text(text)
    endpoint = Endpoint(url=f"https://127.0.0.1:{port}", ca=folder / "ca.crt")
    config = {
        # In memory, so that a new process is a new Vault. Restoring a raft snapshot takes Vault 1.21 5.5 s, and now and
        # then it never answers again.
        "storage": {"inmem": {}},
        "listener": {
            "tcp": {
                "address": f"127.0.0.1:{port}",
                "tls_cert_file": str(folder / "vault.crt"),
                "tls_key_file": str(folder / "vault.key"),
            }
        },
        "api_addr": endpoint.url,
        "disable_mlock": True,
        "ui": False,
        "log_level": "warn",
    }
    (folder / "vault.json").write_text(json.dumps(config))
    argv = [str(binary), "server", f"-config={folder / 'vault.json'}"]
    command = Command(
        name="vault", argv=argv, ready=lambda: is_running(endpoint), env={"SKIP_SETCAP": "1"}, stop_seconds=1.0
    )
    audit = folder / "audit.log"
    return LocalVault(endpoint=endpoint, ca=authority.cert, command=command, audit_log=audit, audit_path=str(audit))
