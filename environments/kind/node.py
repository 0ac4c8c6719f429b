"""One cloud as a kind cluster: its certificates and files, the configuration that kind gets, and how it is reached."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from environments.access import WaysAccess
from environments.baseline.objects import HERE as BASELINE
from environments.baseline.people import JUDGE, OPERATOR
from environments.cleanroom.apiserver import Files, authentication, webhook_client
from environments.cleanroom.opa import POLICIES, Opa
from environments.cleanroom.plane import NOTHING, Plane
from environments.kind import images, manifests, ways
from environments.kind.manifests import NODE_FOLDER
from environments.kind.policyengines import Installed, engine_named
from environments.kind.policyengines.install import volatile
from environments.pki import Authority, signing_key
from environments.platform import JUDGES_GROUP, OPERATORS_GROUP

APISERVER_PORT: Final = 6443
ETCD_PORT: Final = 2379
# What a cluster changes by itself: its pods, what controllers and kubelet write of them and of the node, and tokens by which
# nodes join. OPA and Vault are static pods, which nobody changes there.
VOLATILE: Final = re.compile(
    r"^(compact_rev_key$"
    r"|/registry/(masterleases|peerserverleases|leases|events|minions|csinodes|certificatesigningrequests)/"
    r"|/registry/(pods|deployments|replicasets|daemonsets|endpointslices|services/endpoints)/kube-system/"
    r"|/registry/pods/[^/]+/crew-\d+$"  # which is put right whenever it is needed, see crew.py
    r"|/registry/(secrets/kube-system/bootstrap-token-|configmaps/kube-public/cluster-info$))"
)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports of one cloud on this machine; `vault` is 0 where it runs none."""

    apiserver: int
    etcd: int
    opa: int
    ways: int
    vault: int = 0

    def published(self) -> dict[int, int]:
        """Port on the node -> port on this machine, but the API server's, which kind publishes itself."""
        wanted = {
            ETCD_PORT: self.etcd,
            manifests.OPA_PORT: self.opa,
            ways.PORT: self.ways,
            manifests.VAULT_PORT: self.vault,
        }
        return {inside: outside for inside, outside in wanted.items() if outside}


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A cluster of one node: its name for kind, its folder on this machine, and how it is reached."""

    cluster: str
    folder: Path
    plane: Plane
    opa: Opa
    ways: WaysAccess

    @property
    def container(self) -> str:
        """Name of the container, and of the machine that it is to the others."""
        return f"{self.cluster}-control-plane"

    @property
    def config(self) -> Path:
        """The file for `kind create cluster`."""
        return self.folder / "kind.yaml"


def plan(
    name: str, cluster: str, folder: Path, ports: Ports, lab_config: dict[str, Any], engine: Installed | None = None
) -> Node:
    """Write certificates and configuration of cloud `name` into `folder`, on the base of the lab's `kind.yaml`.

    `engine` is the policy engine that will stand there.
    """
    beside = engine_named(engine.name) if engine else None
    shared = folder / "node"
    kube, etcd, agent = Authority(f"{name} kubernetes"), Authority(f"{name} etcd"), Authority(f"{name} opa")
    operators = Authority(f"{name} operators")
    outside, inside = Files(folder), Files(shared)
    outside.pair("kube-ca", kube.pair)
    outside.pair("etcd-ca", etcd.pair)
    private, public = signing_key()  # of the kind that tokens are signed with on local
    outside.text("sa.key", private)
    outside.text("sa.pub", public)
    server = f"https://127.0.0.1:{ports.apiserver}"
    operator = operators.client(OPERATOR, OPERATORS_GROUP)
    ca = folder / "kube-ca.crt"
    plane = Plane(
        name=name,
        server=server,
        issuer=f"https://{cluster}-control-plane:{APISERVER_PORT}",
        ca=kube.cert,
        operators_ca=operators.cert,
        client_cas=inside.text("client-cas.crt", kube.cert + operators.cert),
        operator=operator,
        judge=kube.client(JUDGE, JUDGES_GROUP),
        etcd=outside.endpoint("etcd-client", ports.etcd, folder / "etcd-ca.crt", etcd.client("kube-apiserver")),
        keeper=outside.endpoint("keeper", ports.apiserver, ca, kube.client("mod209:keeper", "system:masters")),
        as_operator=outside.endpoint("operator", ports.apiserver, ca, operator),
        volatile=volatile(beside, VOLATILE) if beside else VOLATILE,
        policies=beside.policies if beside else NOTHING,
    )
    inside.json("authentication.json", authentication())
    inside.json(
        "admission.json", webhook_client(inside, manifests.OPA_PORT, agent.client("mod209:webhook"), Path(NODE_FOLDER))
    )
    shutil.copy(BASELINE / "audit-policy.yaml", shared)
    policies = Files(shared / "opa")
    policies.pair("server", agent.server("opa"))
    policies.text("ca.crt", agent.cert)
    for file in POLICIES:
        shutil.copy(BASELINE / file, policies.folder)
    keeper = outside.endpoint(
        "opa-keeper", ports.opa, outside.text("opa-ca.crt", agent.cert), agent.client("mod209:keeper")
    )
    opa = Opa(name=name, ca=agent.cert, webhook_url=f"https://127.0.0.1:{manifests.OPA_PORT}/", keeper=keeper)
    node = Node(
        cluster=cluster, folder=folder, plane=plane, opa=opa, ways=_plan_ways(name, shared / "ways", ports.ways)
    )
    node.config.write_text(yaml.safe_dump(cluster_config(lab_config, folder, ports, plane.issuer)))
    return node


def _plan_ways(name: str, folder: Path, port: int) -> WaysAccess:
    """Write what `ways` of a cloud needs into `folder`; returns how the judge asks it."""
    authority, files = Authority(f"{name} ways"), Files(folder)
    files.pair("server", authority.server("ways"))
    files.text("ca.crt", authority.cert)
    judge = authority.client(JUDGE)
    return WaysAccess(url=f"https://127.0.0.1:{port}", ca=authority.cert, cert=judge.cert, key=judge.key)


def cluster_config(base: dict[str, Any], folder: Path, ports: Ports, issuer: str) -> dict[str, Any]:
    """The lab's `kind.yaml`, with what this footprint adds to it."""
    pki = "/etc/kubernetes/pki"
    mounts = [
        {"hostPath": str(folder / "node"), "containerPath": NODE_FOLDER},
        {"hostPath": str(images.folder()), "containerPath": images.MOUNT, "readOnly": True},
        *(
            {"hostPath": str(folder / f"{ca}.{end}"), "containerPath": f"{pki}/{path}.{end}", "readOnly": True}
            for ca, path in (("kube-ca", "ca"), ("etcd-ca", "etcd/ca"))
            for end in ("crt", "key")
        ),
        *(
            {"hostPath": str(folder / file), "containerPath": f"{pki}/{file}", "readOnly": True}
            for file in ("sa.key", "sa.pub")
        ),
    ]
    mapped = [
        {"containerPort": inside, "hostPort": outside, "listenAddress": "127.0.0.1"}
        for inside, outside in ports.published().items()
    ]
    [node] = base["nodes"]
    patches = [*base.get("kubeadmConfigPatches", ()), yaml.safe_dump(_kubeadm(issuer))]
    networking = base.get("networking", {}) | {"apiServerAddress": "127.0.0.1", "apiServerPort": ports.apiserver}
    return {
        **base,
        "networking": networking,
        "nodes": [{**node, "extraMounts": mounts, "extraPortMappings": mapped}],
        "kubeadmConfigPatches": patches,
    }


def _kubeadm(issuer: str) -> dict[str, Any]:
    flags = {
        "client-ca-file": f"{NODE_FOLDER}/client-cas.crt",
        "service-account-issuer": issuer,
        "service-account-jwks-uri": f"{issuer}/openid/v1/jwks",
        # As on local, where the reasons stand.
        "service-account-max-token-expiration": "1h",
        "service-account-extend-token-expiration": "false",
        "authentication-config": f"{NODE_FOLDER}/authentication.json",
        "admission-control-config-file": f"{NODE_FOLDER}/admission.json",
        "audit-policy-file": f"{NODE_FOLDER}/audit-policy.yaml",
        "audit-log-path": "/var/log/kubernetes/audit.log",
        "profiling": "false",
    }
    volumes: list[dict[str, Any]] = [
        {"name": "mod209", "hostPath": NODE_FOLDER, "mountPath": NODE_FOLDER, "readOnly": True},
        {"name": "audit", "hostPath": "/var/log/kubernetes", "mountPath": "/var/log/kubernetes"},
    ]
    return {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": _args(flags),
            "extraVolumes": [{"pathType": "DirectoryOrCreate", **volume} for volume in volumes],
        },
        # A footprint is rebuilt, never recovered.
        "etcd": {"local": {"extraArgs": _args({"unsafe-no-fsync": "true"})}},
    }


def _args(flags: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in flags.items()]
