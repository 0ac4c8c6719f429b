"""One cloud's Kubernetes control plane as plain processes: etcd and kube-apiserver, and the files that they read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environments.baseline.objects import HERE as BASELINE
from environments.baseline.people import JUDGE, OPERATOR
from environments.cleanroom.apiserver import Files, authentication, webhook_client
from environments.cleanroom.endpoint import Endpoint
from environments.cleanroom.etcd_state import VOLATILE
from environments.cleanroom.plane import Plane
from environments.pki import Authority, Pair, signing_key
from environments.platform import JUDGES_GROUP, OPERATORS_GROUP
from environments.supervisor.process import Command


@dataclass(frozen=True, kw_only=True)
class ControlPlane(Plane):
    """One cloud on this machine, with the commands of its two servers."""

    etcd_command: Command
    apiserver_command: Command
    audit_log: Path


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports of one cloud."""

    etcd: int
    etcd_peer: int
    apiserver: int
    opa: int


def plan(name: str, folder: Path, ports: Ports, binaries: dict[str, Path], webhook: Pair) -> ControlPlane:
    """Write certificates and configuration of cloud `name` into `folder`, and say what to start.

    `webhook` is the client certificate that kube-apiserver shows to OPA.
    """
    kube, etcd = Authority(f"{name} kubernetes"), Authority(f"{name} etcd")
    operators = Authority(f"{name} operators")
    operator = operators.client(OPERATOR, OPERATORS_GROUP)
    files = Files(folder)
    etcd_ca = files.text("etcd-ca.crt", etcd.cert)
    etcd_cert, etcd_key = files.pair("etcd", etcd.server("etcd"))
    client_cert, client_key = files.pair("etcd-client", etcd.client("kube-apiserver"))
    keeper_cert, keeper_key = files.pair("keeper", kube.client("mod209:keeper", "system:masters"))
    operator_cert, operator_key = files.pair("operator", operator)
    ca = files.text("ca.crt", kube.cert)
    client_cas = files.text("client-cas.crt", kube.cert + operators.cert)
    server = f"https://127.0.0.1:{ports.apiserver}"
    etcd_endpoint = Endpoint(url=f"https://127.0.0.1:{ports.etcd}", ca=etcd_ca, cert=client_cert, key=client_key)
    keeper = Endpoint(url=server, ca=ca, cert=keeper_cert, key=keeper_key)
    peer = f"https://127.0.0.1:{ports.etcd_peer}"
    etcd_argv = [
        str(binaries["etcd"]),
        f"--name={name}",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={etcd_endpoint.url}",
        f"--advertise-client-urls={etcd_endpoint.url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={name}={peer}",
        *(f"--{kind}cert-file={etcd_cert}" for kind in ("", "peer-")),
        *(f"--{kind}key-file={etcd_key}" for kind in ("", "peer-")),
        *(f"--{kind}trusted-ca-file={etcd_ca}" for kind in ("", "peer-")),
        "--client-cert-auth",
        "--peer-client-cert-auth",
        "--unsafe-no-fsync",  # a footprint is rebuilt, never recovered
        "--log-level=warn",
    ]
    return ControlPlane(
        name=name,
        server=server,
        issuer=server,
        ca=kube.cert,
        operators_ca=operators.cert,
        client_cas=client_cas,
        operator=operator,
        judge=kube.client(JUDGE, JUDGES_GROUP),
        etcd=etcd_endpoint,
        keeper=keeper,
        as_operator=Endpoint(url=server, ca=ca, cert=operator_cert, key=operator_key),
        volatile=VOLATILE,
        etcd_command=Command(name=f"{name}/etcd", argv=etcd_argv, ready=lambda: etcd_endpoint.answers("/readyz")),
        apiserver_command=Command(
            name=f"{name}/kube-apiserver",
            argv=_apiserver(files, binaries, ports, kube, etcd_endpoint, webhook),
            ready=lambda: keeper.answers("/readyz"),
        ),
        audit_log=folder / "audit.log",
    )


def _apiserver(
    files: Files, binaries: dict[str, Path], ports: Ports, kube: Authority, etcd: Endpoint, webhook: Pair
) -> list[str]:
    cert, key = files.pair("apiserver", kube.server("kube-apiserver"))
    private, public = signing_key()
    issuer = f"https://127.0.0.1:{ports.apiserver}"
    flags = {
        "etcd-servers": etcd.url,
        "etcd-cafile": etcd.ca,
        "etcd-certfile": etcd.cert,
        "etcd-keyfile": etcd.key,
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": ports.apiserver,
        "tls-cert-file": cert,
        "tls-private-key-file": key,
        "client-ca-file": files.folder / "client-cas.crt",
        "service-account-issuer": issuer,
        "service-account-jwks-uri": f"{issuer}/openid/v1/jwks",
        "service-account-signing-key-file": files.text("accounts.key", private),
        "service-account-key-file": files.text("accounts.pub", public),
        # Nobody's token outlives a run by much: an hour is the least that may be set, and without the second flag a
        # token for 3607 s lasts a year.
        "service-account-max-token-expiration": "1h",
        "service-account-extend-token-expiration": "false",
        "authorization-mode": "RBAC",
        "allow-privileged": "true",  # as on most clusters: it is the learner's policy that must refuse
        "authentication-config": files.json("authentication.json", authentication()),
        "admission-control-config-file": files.json(
            "admission.json", webhook_client(files, ports.opa, webhook, files.folder)
        ),
        "audit-policy-file": BASELINE / "audit-policy.yaml",
        "audit-log-path": files.folder / "audit.log",
        "endpoint-reconciler-type": "none",  # no pods here, so nobody looks up the `kubernetes` service
        "profiling": "false",
        "v": 1,
    }
    return [str(binaries["kube-apiserver"]), *(f"--{flag}={value}" for flag, value in flags.items())]
