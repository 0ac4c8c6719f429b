"""PEM material of an access file as the files that TLS libraries insist on, readable by their owner alone."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 15.0


class PemFolder:
    """A private folder of PEM files that goes when `owner` is closed."""

    def __init__(self, owner: ExitStack) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="mod209-"))
        owner.callback(shutil.rmtree, self.path, ignore_errors=True)

    def file(self, name: str, pem: str) -> Path:
        """`pem` as the file `name`, which nobody else can read."""
        path = self.path / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(pem)
        return path


def tls(ca: str, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A TLS context that trusts only `ca` (PEM) and shows the client certificate, if one is given."""
    context = ssl.create_default_context(cadata=ca)
    if cert:
        context.load_cert_chain(cert, key)
    return context


def client(address: str, context: ssl.SSLContext, headers: dict[str, str] | None = None) -> httpx.Client:
    """An HTTP client for one server; it heeds no proxy of the environment, since every server is on this machine."""
    timeout = httpx.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS)
    return httpx.Client(base_url=address, verify=context, headers=headers, timeout=timeout, trust_env=False)
