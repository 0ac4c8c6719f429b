"""The first minute of a footprint's Vault: its files, initialise, unseal, and wait until it serves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from environments.cleanroom.apiserver import Files
from environments.cleanroom.endpoint import Endpoint
from environments.errors import FootprintError
from environments.pki import Authority

# Health answers of a Vault that runs: ready, standby, not initialised yet, sealed.
RUNNING = frozenset({200, 429, 501, 503})


@dataclass(frozen=True, kw_only=True)
class Vault:
    """How to reach Vault. `ca` is the PEM of the authority that signed its certificate.

    `audit_log` is where it is read, `audit_path` where Vault, on its own machine, writes it.
    """

    endpoint: Endpoint
    ca: str
    audit_log: Path
    audit_path: str


def plan(folder: Path, port: int, authority: Authority, *, listen: str, seen_as: Path) -> Vault:
    """Write Vault's certificates and `vault.json` into `folder`; it is reached at `port` of this machine.

    `listen` is the address and port that it binds, `seen_as` where Vault, on its own machine, finds the folder.
    """
    files = Files(folder)
    ca = files.text("ca.crt", authority.cert)
    files.pair("vault", authority.server("vault"))
    endpoint = Endpoint(url=f"https://127.0.0.1:{port}", ca=ca)
    tls = {"tls_cert_file": str(seen_as / "vault.crt"), "tls_key_file": str(seen_as / "vault.key")}
    config = {
        # In memory, so that a new process is a new Vault. Restoring a raft snapshot takes Vault 1.21 5.5 s, and now and
        # then it never answers again.
        "storage": {"inmem": {}},
        "listener": {"tcp": {"address": listen, **tls}},
        "api_addr": endpoint.url,
        "disable_mlock": True,
        "ui": False,
        "log_level": "warn",
    }
    files.json("vault.json", config)
    audit = "audit.log"
    return Vault(endpoint=endpoint, ca=authority.cert, audit_log=folder / audit, audit_path=str(seen_as / audit))


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
