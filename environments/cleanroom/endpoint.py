"""Where a server listens, and a client for it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

HEALTH_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a server listens, whom to trust there, and with which client certificate to go (files on disk, PEM)."""

    url: str
    ca: Path
    cert: Path | None = None
    key: Path | None = None

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client for this server; close it."""
        return httpx.Client(base_url=self.url, verify=tls(self.ca, self.cert, self.key), trust_env=False, **options)

    def answers(self, path: str) -> bool:
        """Whether a GET of `path` gives 200 now."""
        try:
            with self.client(timeout=HEALTH_SECONDS) as client:
                return client.get(path).status_code == httpx.codes.OK
        except (httpx.HTTPError, OSError):
            return False


@cache  # health is asked often, and loading certificates is most of the cost
def tls(ca: Path, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A TLS context that trusts `ca` alone and shows `cert` where there is one."""
    context = ssl.create_default_context(cafile=str(ca))
    if cert:
        context.load_cert_chain(cert, key)
    return context
