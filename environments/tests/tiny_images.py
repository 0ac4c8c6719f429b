"""Images of a few bytes, and a registry of one of them, for tests with the real Docker daemon."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from environments.toolchain.catalog import architecture

Make = Callable[..., str]
TYPES = "application/vnd.docker."


def tar_of(files: Mapping[str, str]) -> bytes:
    """An archive of a few files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """`name` is what to pull; `blobs` holds manifest, configuration and layer by their digests."""

    name: str = ""
    manifest: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> dict[str, object]:
        """Keep `data`; returns how a manifest speaks of it."""
        self.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}


class Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        held: Registry = self.server.registry  # type: ignore[attr-defined]
        asked = self.path.rpartition("/")[2]
        data = b"{}" if self.path == "/v2/" else held.blobs.get(asked)
        self.send_response(200 if data is not None else 404)
        kind = "distribution.manifest.v2+json" if asked == held.manifest else "container.image.v1+json"
        self.send_header("Content-Type", f"{TYPES}{kind}")
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("Docker-Content-Digest", asked)
        self.end_headers()
        if self.command == "GET" and data:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry on loopback, which Docker speaks to without TLS."""
    held = Registry()
    layer = tar_of({"kind/version": "v1.37.0"})
    rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
    config = {"architecture": architecture(), "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{TYPES}distribution.manifest.v2+json",
        "config": {"mediaType": f"{TYPES}container.image.v1+json", **held.add(json.dumps(config).encode())},
        "layers": [{"mediaType": f"{TYPES}image.rootfs.diff.tar", **held.add(layer)}],
    }
    held.manifest = str(held.add(json.dumps(manifest).encode())["digest"])
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.registry = held  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        held.name = f"127.0.0.1:{server.server_port}/kindest/node@{held.manifest}"
        try:
            yield held
        finally:
            server.shutdown()
