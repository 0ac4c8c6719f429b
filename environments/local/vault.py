"""The footprint's Vault as a process: its files, and how to start it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environments.cleanroom import vault
from environments.pki import Authority
from environments.supervisor.process import Command


@dataclass(frozen=True, kw_only=True)
class LocalVault(vault.Vault):
    """Vault on this machine, and how to start it."""

    command: Command


def plan(folder: Path, port: int, binary: Path, authority: Authority) -> LocalVault:
    """Write Vault's configuration into `folder`, and say what to start."""
    made = vault.plan(folder, port, authority, listen=f"127.0.0.1:{port}", seen_as=folder)
    argv = [str(binary), "server", f"-config={folder / 'vault.json'}"]
    command = Command(
        name="vault",
        argv=argv,
        ready=lambda: vault.is_running(made.endpoint),
        env={"SKIP_SETCAP": "1"},
        stop_seconds=1.0,
    )
    return LocalVault(
        endpoint=made.endpoint,
        ca=made.ca,
        audit_log=made.audit_log,
        audit_path=made.audit_path,
        command=command,
    )
