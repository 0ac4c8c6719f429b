"""How a footprint starts its workbench."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from environments.local.control_plane import Endpoint
from environments.pki import Authority
from environments.supervisor.process import Command


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A workbench: what to start, where it listens, and the file of the token that operators show it."""

    url: str
    token_file: Path
    command: Command

    def token(self) -> str:
        """The token that counts now."""
        return self.token_file.read_text()

    def renew_token(self) -> None:
        """Make the token worthless, and another one count."""
        part = self.token_file.with_suffix(".part")
        part.write_text(secrets.token_urlsafe(32))
        part.replace(self.token_file)


def plan(
    folder: Path, port: int, binaries: Mapping[str, Path], opas: Mapping[str, Endpoint], authority: Authority
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
        "opas": {n: {"url": o.url, "ca": str(o.ca), "cert": str(o.cert), "key": str(o.key)} for n, o in opas.items()},
    }
    (folder / "config.json").write_text(json.dumps(config))
    argv = [sys.executable, "-P", "-m", "environments.workbench.server", str(folder / "config.json")]
    endpoint = Endpoint(url=url, ca=folder / "ca.crt")
    command = Command(
        name="workbench", argv=argv, ready=lambda: endpoint.answers("/health"), env={"PATH": "/usr/bin:/bin"}
    )
    bench = Bench(url=url, token_file=folder / "token", command=command)
    bench.renew_token()
    return bench
