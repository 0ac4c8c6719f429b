"""The footprint's Vault: how to start it, and its first minute (initialise, unseal, log in as keeper)."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from environments.errors import FootprintError
from environments.local.control_plane import Endpoint
from environments.pki import Authority
from environments.supervisor.process import Command

# Health answers of a Vault that runs: ready, standby, not initialised yet, sealed.
RUNNING = frozenset({200, 429, 501, 503})


@dataclass(frozen=True, kw_only=True)
class Vault:
    """How to start and reach Vault. `ca` is the PEM of the authority that signed its certificate."""

    endpoint: Endpoint
    ca: str
    command: Command
    audit_log: Path


def plan(folder: Path, port: int, binary: Path, authority: Authority) -> Vault:
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
    return Vault(endpoint=endpoint, ca=authority.cert, command=command, audit_log=folder / "audit.log")


def is_running(endpoint: Endpoint) -> bool:
    """Whether Vault answers at all, sealed or not."""
    try:
        with endpoint.client(timeout=2.0) as client:
            return client.get("/v1/sys/health").status_code in RUNNING
    except (httpx.HTTPError, OSError):
        return False


def unseal_new(client: httpx.Client) -> str:
    """Initialise and unseal a new Vault; returns the root token, which its caller alone keeps, in memory."""
    shares = {"secret_shares": 1, "secret_threshold": 1}
    made = client.put("/v1/sys/init", json=shares).raise_for_status().json()
    client.put("/v1/sys/unseal", json={"key": made["keys"][0]}).raise_for_status()
    wait_active(client)
    return str(made["root_token"])


def wait_active(client: httpx.Client, seconds: float = 20.0) -> None:
    """Wait until Vault serves requests after it was unsealed.

    Raises:
        FootprintError: it does not in time.
    """
    deadline = time.monotonic() + seconds
    while client.get("/v1/sys/health").status_code != httpx.codes.OK:
        if time.monotonic() > deadline:
            raise FootprintError("Vault does not become active.", hint="Run: mod209 down, then mod209 up.")
        time.sleep(0.005)
