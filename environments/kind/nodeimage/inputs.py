"""What our own node image is made of, and the name that says so."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from environments.toolchain.catalog import MODULES, catalog, spec_of

HERE: Final = Path(__file__).parent
FILES: Final = HERE / "files"
RECIPE: Final = ("build.py", "debian.py", "inputs.py")  # the other modules here have no say in what is in the image
REPOSITORY: Final = "mod209/kind-node"
INPUTS_LABEL: Final = "mod209.inputs"
# Programs of the node itself, and those that run on it in images of their own; the tags are those that kubeadm and our
# own manifests ask for.
ON_NODE: Final = ("kubelet", "kubeadm", "kubectl")
BASE: Final = ("containerd", "ctr", "containerd-shim-runc-v2", "crictl")
PLUGINS: Final = ("host-local", "loopback", "ptp", "portmap")
IMAGES: Final = {
    "kube-apiserver": "registry.k8s.io/kube-apiserver:v{version}",
    "kube-controller-manager": "registry.k8s.io/kube-controller-manager:v{version}",
    "kube-scheduler": "registry.k8s.io/kube-scheduler:v{version}",
    "etcd": "registry.k8s.io/etcd:3.7.0-0",
    "coredns": "registry.k8s.io/coredns/coredns:v1.14.6",
    "pause": "registry.k8s.io/pause:3.10.2",
}
# These two call iptables and ipset, so that they need more than themselves.
WITH_USERLAND: Final = {
    "kube-proxy": "registry.k8s.io/kube-proxy:v{version}",
    "labnet": "docker.io/mod209/labnet:1.0.0",
}
PROGRAMS: Final = (*ON_NODE, *BASE, *PLUGINS, *IMAGES, *WITH_USERLAND)


def kubernetes() -> str:
    """The version of Kubernetes, such as `v1.37.2`."""
    return f"v{spec_of('kubelet').version}"


def reference() -> str:
    """Name of our own image, with the beginning of its inputs' digest: another recipe is another image."""
    return f"{REPOSITORY}:{kubernetes()}-{digest()[:12]}"


@cache
def digest() -> str:
    """SHA-256 over versions, our sources and the recipe. Debian's packages are whatever the mirror has that day."""
    state = hashlib.sha256()
    specs = {name: catalog()[name] for name in sorted({*PROGRAMS, "kind"})}  # of kind come the node's own boot files
    for name, spec in specs.items():
        state.update(f"{name} {spec.model_dump_json()}\n".encode())
    sums = [MODULES / module / "go.sum" for module in sorted({spec.build.module for spec in specs.values()})]
    for path in (*(HERE / name for name in RECIPE), *sorted(FILES.iterdir()), *sums):
        state.update(f"{path.parent.name}/{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return state.hexdigest()
