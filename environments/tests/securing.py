"""A learner's right answer in few lines, for tests that need a secured platform, and ways to spoil it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from environments.access import Access, CloudAccess, Role, VaultAccess
from environments.baseline.legacy import cluster_bindings, legacy
from environments.footprint import Footprint
from environments.params import derive
from environments.pki import Authority
from environments.platform import Workload, platform
from environments.probes.clients import Clients, Server
from environments.probes.tokens import account_path

REGO = """package mod209.admission

owned := {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"}

template := input.request.object if input.request.kind.kind == "Pod"
template := input.request.object.spec.template if input.request.kind.kind in owned
template := input.request.object.spec.jobTemplate.spec.template if input.request.kind.kind == "CronJob"
template := input.request.object.template if input.request.kind.kind == "PodTemplate"

container_lists := ["containers", "initContainers", "ephemeralContainers"]

containers contains container if {
	some field in container_lists
	some container in template.spec[field]
}

label := object.get(template, ["metadata", "labels", "mod209.io/data"], "")

region := object.get(template, ["spec", "nodeSelector", "topology.kubernetes.io/region"], "")

deny contains sprintf("[ZT-3/digest] %s", [container.image]) if {
	some container in containers
	not regex.match(`@sha256:[a-f0-9]{64}$`, container.image)
}

deny contains sprintf("[ZT-3/registry] %s", [container.image]) if {
	some container in containers
	not startswith(container.image, concat("", [data.cloud.registry, "/"]))
}

deny contains "[ZT-3/privileged] container" if {
	some container in containers
	container.securityContext.privileged
}

deny contains "[ZT-3/privileged] namespace of the host" if {
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	template.spec[field]
}

deny contains "[ZT-3/privileged] path of the host" if {
	some volume in template.spec.volumes
	volume.hostPath
}

deny contains "[ZT-3/service-account] default" if {
	object.get(template, ["spec", "serviceAccountName"], "") in {"", "default"}
}

deny contains "[ZT-3/data-label] unknown" if not label in {"public", "internal", "personal", "health"}

deny contains "[ZT-3/residency] region" if {
	label == "health"
	not region in data.cloud.health_regions
}
"""


@cache
def nowhere(learner: str = "practice", role: Role = "operator") -> Access:
    """Access with real certificates to servers that do not exist: nothing listens on the discard port."""
    authority = Authority("nobody")
    pair = authority.client("somebody")
    url = "https://127.0.0.1:9"
    cloud = CloudAccess(server=url, ca=authority.cert, cert=pair.cert, key=pair.key, issuer=url)
    return Access(
        role=role,
        provider="local",
        lab="zero-trust",
        clouds=dict.fromkeys(platform().clouds, cloud),
        vault=VaultAccess(address=url, ca=authority.cert, token="none"),
        params=derive(learner, b"k" * 32),
    )


class Operator:
    """A learner at work, with an operator's access."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.clients = Clients(access)

    def secure(self) -> None:
        """Secure the whole platform."""
        self.apply_rego(REGO)
        for cloud in self.access.clouds:
            self.trust_issuer(cloud)
            for workload in platform().workloads:
                self.write_policy(
                    cloud, workload, f'path "kv/data/{workload.secret(cloud)}" {{ capabilities = ["read"] }}'
                )
                self.write_role(cloud, workload)

    def apply_rego(self, text: str) -> None:
        """Load one Rego module on all clouds, through the workbench."""
        bench = self.access.workbench
        assert bench
        server = Server("The workbench", bench.address, ssl.create_default_context(cadata=bench.ca))
        headers = [("Authorization", f"Bearer {bench.token}")]
        answer = server.ask("POST", "/apply", {"files": {"admission.rego": text}}, headers)
        server.close()
        assert answer.is_success, answer.text

    def trust_issuer(self, cloud: str) -> None:
        """Configure the cloud's jwt mount for its own issuer."""
        issuer, ca = self.access.clouds[cloud].issuer, self.access.clouds[cloud].ca
        discovery = {"oidc_discovery_url": issuer, "oidc_discovery_ca_pem": ca, "bound_issuer": issuer}
        self.vault(f"auth/jwt-{cloud}/config", discovery | {"jwt_supported_algs": ["ES256"]})

    def write_role(self, cloud: str, workload: Workload, **changes: Any) -> None:
        """Write the workload's role as it is right, but for `changes`."""
        right = {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": [self.access.params.audience],
            "bound_subject": f"system:serviceaccount:{workload.namespace}:{workload.account}",
            "bound_claims": {"/kubernetes.io/serviceaccount/uid": self.account_uid(cloud, workload)},
            "token_policies": [workload.policy(cloud)],
            "token_ttl": "15m",
            "token_max_ttl": "1h",
        }
        self.vault(f"auth/jwt-{cloud}/role/{workload.role}", right | changes)

    def write_policy(self, cloud: str, workload: Workload, text: str) -> None:
        """Write the workload's Vault policy."""
        self.vault(f"sys/policies/acl/{workload.policy(cloud)}", {"policy": text})

    def clear_access(self) -> None:
        """Take away all rights that the last team left, on all clouds."""
        group = "/apis/rbac.authorization.k8s.io/v1"
        paths = [f"{group}/clusterrolebindings/{name}" for name in cluster_bindings()] + [
            f"{group}/namespaces/{grant.namespace}/{kind}/{grant.name}"
            for grant in legacy().roles
            for kind in ("rolebindings", "roles")
        ]
        for cloud in self.access.clouds:
            for path in paths:
                assert self.clients.kube(cloud, "DELETE", path).is_success, path

    def vault(self, path: str, body: dict[str, Any]) -> None:
        """Write to Vault."""
        answer = self.clients.vault("POST", path, self.access.vault.token, body)
        assert answer.is_success, answer.text

    def account_uid(self, cloud: str, workload: Workload) -> str:
        """The uid of the workload's service account now."""
        answer = self.clients.kube(cloud, "GET", account_path(workload.namespace, workload.account))
        return str(answer.raise_for_status().json()["metadata"]["uid"])


@contextmanager
def operator_of(footprint: Footprint) -> Iterator[Operator]:
    """An operator of a running footprint."""
    operator = Operator(footprint.access("operator"))
    with operator.clients:
        yield operator
