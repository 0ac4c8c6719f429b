"""Parts of the toolchain's tests: a machine of its own, a mirror with the publishers' layout, resolvers in processes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest

from environments.toolchain.catalog import Arch, ReleaseSpec, ToolSpec, architecture, catalog, spec_of

DEADLINE_SECONDS = 30.0
ANSWERS: Mapping[str, str] = {
    "etcd": "etcd Version: {}",
    "kube-apiserver": "Kubernetes v{}",
    "kubectl": "Client Version: v{}",
    "opa": "Version: {}",
    "vault": "Vault v{} (deadbeef), built 2026-01-01T00:00:00Z",
    "reach": "reach v{}",
    "ways": "ways v{}",
}
PUBLISHED = [name for name in ANSWERS if spec_of(name).release]
Fault = Literal["missing", "truncated", "silent", "held"]


def fake_binary(name: str, version: str | None = None, *, size: int = 0) -> bytes:
    """A script that answers the version question of `name`, padded to `size` bytes at least."""
    answer = ANSWERS[name].format(version or spec_of(name).version)
    return f"#!/bin/sh\necho '{answer}'\nexit\n".encode() + b"#" * size


def until(holds: Callable[[], object], what: str) -> None:
    """Poll until `holds()`; fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


@dataclass
class Mirror:
    """A server of `/<publisher's host>/<path>`; `faults` names paths that misbehave, `gate` lets held ones go on."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def publish(self, name: str, binary: bytes) -> None:
        """Serve `binary` as the release of `name`, with a right checksum."""
        spec, arch = spec_of(name), architecture()
        asset = self.asset(name)
        data = _pack(spec, arch, binary)
        self.files[asset] = data
        listing = f"{'0' * 64}  another-file\n{hashlib.sha256(data).hexdigest()}  {asset.rpartition('/')[2]}\n"
        self.files[self.checksums(name)] = listing.encode()

    def asset(self, name: str) -> str:
        """Where the release of `name` is on this mirror."""
        return _below(_release(spec_of(name)).asset, spec_of(name))

    def checksums(self, name: str) -> str:
        """Where the checksums of `name` are on this mirror."""
        return _below(_release(spec_of(name)).checksums, spec_of(name))


def _release(spec: ToolSpec) -> ReleaseSpec:
    assert spec.release, "nobody publishes this tool"
    return spec.release


def _below(template: str, spec: ToolSpec) -> str:
    parts = urlsplit(template.format(version=spec.version, arch=architecture()))
    return f"/{parts.netloc}{parts.path}"


def _pack(spec: ToolSpec, arch: Arch, binary: bytes) -> bytes:
    release = _release(spec)
    if release.member is None:
        return binary
    member, packed = release.member.format(version=spec.version, arch=arch), io.BytesIO()
    if release.asset.endswith(".zip"):
        with zipfile.ZipFile(packed, "w") as zipped:
            zipped.writestr(member, binary)
    else:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            info = tarfile.TarInfo(member)
            info.size = len(binary)
            tar.addfile(info, io.BytesIO(binary))
    return packed.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        mirror: Mirror = self.server.mirror  # type: ignore[attr-defined]
        mirror.asked.append(self.path)
        fault, data = mirror.faults.get(self.path), mirror.files.get(self.path)
        if fault == "silent":
            mirror.gate.wait()
        elif data is None or fault == "missing":
            self.send_error(404)
        else:
            self._send(data, fault, mirror.gate)

    def _send(self, data: bytes, fault: Fault | None, gate: threading.Event) -> None:
        half = len(data) // 2
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(ConnectionError):  # the client may have been killed meanwhile
            self.wfile.write(data[:half])
            if fault == "held":
                gate.wait()
            if fault != "truncated":
                self.wfile.write(data[half:])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Machine:
    """A machine of its own: `cache`, and `bin`, the only folder on its `PATH`."""

    root: Path
    environment: pytest.MonkeyPatch

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def put(self, name: str, text: str | bytes, folder: Path | None = None) -> Path:
        """Write an executable into `bin`, or into `folder`."""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o755)
        return path

    def put_go(self, build: str, version: str = "1.27.0", fetch: str = "true") -> Path:
        """A `go` on `PATH` of that version, whose `build` runs the shell script given, with `$out` and `$package`.

        `fetch` is the command that `go list` runs, by which the source is fetched.
        """
        head = f"""#!/bin/sh
case "$1" in
version) echo go version go{version} linux/amd64; exit;;
env) echo '{{"GOPROXY": "off", "GOMODCACHE": "/nonexistent"}}'; exit;;
esac
[ "$1" != list ] || exec {fetch}
while [ "$1" != -o ]; do shift; done
out=$2 package=$3
"""
        return self.put("go", head + build)

    def leftovers(self) -> list[Path]:
        """Everything in the cache that is neither a whole tool nor a lock."""
        whole = {"record.json", "path-versions.json", *catalog()}
        files = [path for path in self.cache.rglob("*") if path.is_file()]
        return [path for path in files if path.name not in whole and not path.name.endswith(".lock")]


RESOLVER = """
import sys
from environments.errors import CourseError
from environments.toolchain import resolve
try:
    tools = resolve(sys.argv[1:], progress=lambda event: print(event.stage.name, event.tool, flush=True))
except CourseError as error:
    sys.exit(f"{type(error).__name__}: {error.message}")
print(*(f"{tool.name}={tool.source}" for tool in tools.values()))
"""


@dataclass
class Resolver:
    """A process of its own that resolves tools and prints its progress to `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> list[str]:
        """The lines that it printed so far."""
        return self.log.read_text().splitlines()

    def end(self) -> int:
        """Wait for its end, and return the exit status."""
        return self.process.wait(DEADLINE_SECONDS)
