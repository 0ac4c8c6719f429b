"""Container images of our servers, each one binary of the toolchain and nothing else, as archives that nodes import.

No daemon builds them: an image of one file is two small JSON documents and a tar.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import threading
from pathlib import Path
from typing import Final

from environments.errors import StorageError
from environments.paths import cache_dir
from environments.scratch import scratch
from environments.toolchain import Tool
from environments.toolchain.catalog import architecture
from environments.toolchain.store import flock

BIN: Final = "/usr/local/bin"
SCRATCH: Final = "image"
MOUNT: Final = "/mod209-images"  # where nodes find the archives


def folder() -> Path:
    """Where the archives are kept."""
    return cache_dir() / "images"


def reference(name: str, version: str) -> str:
    """What pods call the image of a tool."""
    return f"docker.io/mod209/{name}:{version}"


def archive(tool: Tool) -> Path:
    """The archive of a tool's image; it is written where there is none of this very binary.

    Raises:
        StorageError: the disk is full, or the cache cannot be written.
    """
    about = tool.path.stat()
    mark = hashlib.sha256(f"{tool.path} {about.st_size} {about.st_mtime_ns}".encode()).hexdigest()[:16]
    path = folder() / f"{tool.name}-{tool.version}-{mark}.tar"
    if path.exists():
        return path
    # One writer at a time: whatever else is on its way there was left by one that was killed.
    with flock(folder() / ".lock", threading.Event(), lambda: None):
        try:
            for left in folder().glob(f"mod209-{SCRATCH}-*"):
                shutil.rmtree(left, ignore_errors=True)
            with scratch(SCRATCH, folder()) as room:
                write(room / path.name, tool, reference(tool.name, tool.version))
                (room / path.name).replace(path)
        except OSError as error:
            raise StorageError(
                f"Cannot write the image of {tool.name} to {folder()}: {error.strerror}.",
                hint="Free some space, or set MOD209_CACHE to a folder on another disk.",
            ) from None
    return path


def write(path: Path, tool: Tool, name: str) -> None:
    """Write the archive of an image called `name` that holds a tool and nothing else."""
    layer = path.with_suffix(".layer")
    try:
        with tarfile.open(layer, "w") as tar:
            entry = tarfile.TarInfo(f"{BIN}/{tool.name}".removeprefix("/"))
            entry.size, entry.mode = tool.path.stat().st_size, 0o755
            with tool.path.open("rb") as binary:
                tar.addfile(entry, binary)
        config = json.dumps(_config(tool.name, _sha256(layer))).encode()
        manifest = {"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}
        with tarfile.open(path, "w") as tar:
            _add(tar, "config.json", config)
            _add(tar, "manifest.json", json.dumps([manifest]).encode())
            tar.add(layer, "layer.tar")
    finally:
        layer.unlink(missing_ok=True)


def _config(name: str, layer: str) -> dict[str, object]:
    return {
        "architecture": architecture(),
        "os": "linux",
        # Kubernetes' own manifests call programs without a path.
        "config": {"Entrypoint": [f"{BIN}/{name}"], "Env": [f"PATH={BIN}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
