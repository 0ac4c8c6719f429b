"""Build a node image from Debian packages and the toolchain's programs, for machines that can pull none."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from environments.errors import FootprintError
from environments.kind import images
from environments.kind.engine import BUILDING_LABEL, failures
from environments.kind.nodeimage.debian import USERLAND, docker_build, full, is_full, layers
from environments.kind.nodeimage.inputs import (
    BASE,
    FILES,
    IMAGES,
    INPUTS_LABEL,
    ON_NODE,
    PLUGINS,
    PROGRAMS,
    WITH_USERLAND,
    digest,
    kubernetes,
    reference,
)
from environments.paths import cache_dir
from environments.scratch import scratch
from environments.toolchain import Tool, resolve
from environments.toolchain.build import copy_source

NODE_BASE: Final = "mod209/node-base:latest"
SCRATCH: Final = "node-image"
KIND_MODULE: Final = "sigs.k8s.io/kind"
PINNED: Final = "io.cri-containerd.pinned=pinned"  # the kubelet must not clear away what cannot be pulled again
ENTRYPOINT: Final = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
# Waits for containerd, imports what is in /in, and leaves nothing of the import behind.
IMPORT: Final = f"""
set -e
chown root:root /usr/bin/kube*; chmod 0755 /usr/bin/kube*
containerd >/tmp/containerd.log 2>&1 &
for _ in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.2; done
for archive in /in/*.tar; do
  ctr --namespace=k8s.io images import --label={PINNED} --all-platforms --no-unpack --digests "$archive"
done
kill %1; wait
rm -rf /tmp/containerd.log /run/containerd /var/log/*
"""
Progress = Callable[[str], None]


def build(engine: Any, progress: Progress) -> str:
    """Build the image; returns its name. Nothing is left of a build that failed, but what the next one begins with.

    Raises:
        ToolError: a program could not be had.
        FootprintError: debootstrap is missing or failed, or Docker did.
        StorageError: the disk is full.
    """
    with scratch(SCRATCH, cache_dir()) as folder, failures("The node image could not be built"):
        # First, because what it lacks is known in seconds, and compiling takes minutes.
        layers(engine, folder, progress)
        programs = resolve(PROGRAMS, progress=lambda event: progress(f"node image: {event.tool} {event.stage.value}"))
        progress("node image: putting it together")
        _base(engine, folder, programs)
        _commit(engine, folder, programs)
    return reference()


def _base(engine: Any, folder: Path, programs: Mapping[str, Tool]) -> None:
    """The node without Kubernetes: kind's own boot files, containerd and the network plugins."""
    context = folder / "base"
    copy_source("kind", KIND_MODULE, "images/base/files", context / "files")
    for path in (context / "files").rglob("*"):
        runs = path.parent.name == "bin"
        path.chmod(0o755 if path.is_dir() or runs else 0o644)
    (context / "files/etc/systemd/system/containerd-fuse-overlayfs.service").unlink(missing_ok=True)
    settings = context / "files/etc/containerd/config.toml"
    lines = settings.read_text().splitlines()
    pause = IMAGES["pause"]
    stem = pause.rsplit(":", 1)[0]
    settings.write_text("\n".join(_with_image(line, stem, pause) for line in lines) + "\n")
    for name, part in [*((one, "bin") for one in BASE), *((one, "cni") for one in PLUGINS)]:
        (context / part).mkdir(exist_ok=True)
        shutil.copy(programs[name].path, context / part / name)
    shutil.copy(FILES / "Dockerfile.base", context)
    docker_build(engine, context, "Dockerfile.base", NODE_BASE, network_mode="none")


def _with_image(line: str, stem: str, image: str) -> str:
    """A line of containerd's settings that names the pods' first process, with our version of it."""
    at = line.find(f"{stem}:")
    return line if at < 0 else f'{line[:at]}{image}"' + line[at:].partition('"')[2]


def _commit(engine: Any, folder: Path, programs: Mapping[str, Tool]) -> None:
    """Import all images on a running node base, put Kubernetes beside, and keep the result."""
    archives = folder / "images"
    archives.mkdir()
    for name, pattern in IMAGES.items():
        tool = programs[name]
        images.write(archives / f"{name}.tar", tool, pattern.format(version=tool.version))
    for name, pattern in WITH_USERLAND.items():
        _with_userland(engine, folder, archives, programs[name], pattern.format(version=programs[name].version))
    with _running(engine, archives) as node:
        for name in ON_NODE:
            _put(node, folder, programs[name].path, f"usr/bin/{name}")
        for manifest in ("default-cni.yaml", "default-storage.yaml"):
            _put(node, folder, FILES / manifest, f"kind/manifests/{manifest}")
        version = folder / "version"
        version.write_text(kubernetes())
        _put(node, folder, version, "kind/version")
        done = node.exec_run(["bash", "-mc", IMPORT])
        if done.exit_code != 0:
            text = done.output.decode(errors="replace").strip()[-500:]
            if is_full(text):
                raise full()
            raise FootprintError(f"The node image's own images could not be imported: {text}", hint="Run it again.")
        repository, tag = reference().split(":")
        # An image inherits the labels of the container that it is made of, and every node those of its image: what is
        # being built would be every running cluster, for the next build to sweep away.
        labels = {INPUTS_LABEL: digest(), "org.opencontainers.image.version": kubernetes(), BUILDING_LABEL: ""}
        marks = [f"LABEL {key}={json.dumps(value)}" for key, value in labels.items()]
        node.commit(repository, tag, changes=[ENTRYPOINT, *marks])


def _with_userland(engine: Any, folder: Path, archives: Path, tool: Tool, name: str) -> None:
    context = folder / tool.name
    context.mkdir()
    shutil.copy(tool.path, context / tool.name)
    program = f"/usr/local/bin/{tool.name}"
    (context / "Dockerfile").write_text(f'FROM {USERLAND}\nCOPY {tool.name} {program}\nENTRYPOINT ["{program}"]\n')
    docker_build(engine, context, "Dockerfile", name)
    with (archives / f"{tool.name}.tar").open("wb") as stream:
        for chunk in engine.images.get(name).save(named=True):
            stream.write(chunk)


@contextmanager
def _running(engine: Any, archives: Path) -> Iterator[Any]:
    """A container of the node base that does nothing, gone afterwards in any case."""
    node = engine.containers.create(
        NODE_BASE,
        ["infinity"],
        entrypoint=["sleep"],
        security_opt=["seccomp=unconfined"],
        network_mode="none",
        volumes={str(archives): {"bind": "/in", "mode": "ro"}},
        labels={BUILDING_LABEL: str(cache_dir())},
    )
    try:
        node.start()
        yield node
    finally:
        node.remove(force=True, v=True)


def _put(node: Any, folder: Path, source: Path, target: str) -> None:
    """Copy a file into the container. It goes by an archive in `folder`: some are 100 MB."""
    archive = folder / "put.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source, target, filter=_as_root)
    with archive.open("rb") as stream:
        node.put_archive("/", stream)
    archive.unlink()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode = 0o755 if entry.name.startswith("usr/bin/") else 0o644
    return entry
