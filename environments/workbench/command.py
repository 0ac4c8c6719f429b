"""How a footprint starts its workbench."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from environments.cleanroom.endpoint import Endpoint
from environments.pki import Authority
from environments.rehearsal import Record
from environments.supervisor.process import Command


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A workbench: what to start, where it listens, and its files.

    `token_file` holds the token that operators show it; `vault_token` what its watch reads push credentials with, empty
    where nothing may be watched; `record_file` what the last watch saw.
    """

    url: str
    token_file: Path
    vault_token: Path
    record_file: Path
    command: Command

    def token(self) -> str:
        """The token that counts now."""
        return self.token_file.read_text()

    def renew_token(self) -> None:
        """Make the token worthless, and another one count."""
        _write(self.token_file, secrets.token_urlsafe(32))

    def arm_watch(self, token: str) -> None:
        """Let operators watch rotations from now on, with this token of Vault; what was seen before counts no more."""
        _write(self.vault_token, token)
        self.record_file.unlink(missing_ok=True)

    def end_watch(self) -> None:
        """Let nothing more be watched; what was seen stays. A watch under way ends when Vault revokes its token."""
        if record := self.record():
            # Kept under the mark of no token: that of the watch is about to go.
            _write(self.record_file, record.model_copy(update={"armed": mark("")}).model_dump_json())
        _write(self.vault_token, "")

    def record(self) -> Record | None:
        """What the last watch of this turn saw."""
        try:
            record = Record.model_validate_json(self.record_file.read_text())
        except FileNotFoundError:
            return None
        return record if record.armed == mark(self.vault_token.read_text()) else None


def mark(token: str) -> str:
    """What a record carries to say with which token it was made."""
    return hashlib.sha256(token.encode()).hexdigest()


def _write(file: Path, text: str) -> None:
    """All of it or nothing, whoever reads meanwhile."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)


def plan(
    folder: Path,
    port: int,
    binaries: Mapping[str, Path],
    opas: Mapping[str, Endpoint],
    vault: Endpoint,
    authority: Authority,
) -> Bench:
    """Write the workbench's certificate and configuration into `folder`, and say what to start."""
    folder.mkdir(parents=True, exist_ok=True)
    pair, url = authority.server("workbench"), f"https://127.0.0.1:{port}"
    for file, text in {"ca.crt": authority.cert, "workbench.crt": pair.cert, "workbench.key": pair.key}.items():
        (folder / file).write_text(text)
    config = {
        "url": url,
        "cert": str(folder / "workbench.crt"),
        "key": str(folder / "workbench.key"),
        "token": str(folder / "token"),
        "opa": str(binaries["opa"]),
        "vault": str(binaries["vault"]),
        "watch": {
            "url": vault.url,
            "ca": str(vault.ca),
            "token": str(folder / "vault-token"),
            "record": str(folder / "record.json"),
        },
        "opas": {n: {"url": o.url, "ca": str(o.ca), "cert": str(o.cert), "key": str(o.key)} for n, o in opas.items()},
    }
    (folder / "config.json").write_text(json.dumps(config))
    argv = [sys.executable, "-P", "-m", "environments.workbench.server", str(folder / "config.json")]
    endpoint = Endpoint(url=url, ca=folder / "ca.crt")
    command = Command(
        name="workbench", argv=argv, ready=lambda: endpoint.answers("/health"), env={"PATH": "/usr/bin:/bin"}
    )
    files = {
        "token_file": folder / "token",
        "vault_token": folder / "vault-token",
        "record_file": folder / "record.json",
    }
    bench = Bench(url=url, command=command, **files)
    bench.renew_token()
    bench.arm_watch("")
    return bench
