"""A learner's right answer in few lines, for tests that need a secured platform, and ways to spoil it."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import httpx

from environments.access import Access, CloudAccess, Role, VaultAccess
from environments.local.pki import Authority
from environments.params import derive
from environments.platform import Workload, platform
from environments.probes.clients import Clients
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


def secure(operator: Access) -> None:
    """Secure the platform behind an operator's access."""
    apply_rego(operator, REGO)
    for cloud in operator.clouds:
        trust_issuer(operator, cloud)
        for workload in platform().workloads:
            write_policy(
                operator, cloud, workload, f'path "kv/data/{workload.secret(cloud)}" {{ capabilities = ["read"] }}'
            )
            write_role(operator, cloud, workload)


def apply_rego(operator: Access, text: str) -> None:
    """Load one Rego module on all clouds, through the workbench."""
    bench = operator.workbench
    assert bench
    with httpx.Client(base_url=bench.address, verify=_trust(bench.ca), trust_env=False, timeout=60) as client:
        headers = {"Authorization": f"Bearer {bench.token}"}
        answer = client.post("/apply", json={"files": {"admission.rego": text}}, headers=headers)
        assert answer.is_success, answer.text


def trust_issuer(operator: Access, cloud: str) -> None:
    """Configure the cloud's jwt mount for its own issuer."""
    issuer, ca = operator.clouds[cloud].issuer, operator.clouds[cloud].ca
    discovery = {"oidc_discovery_url": issuer, "oidc_discovery_ca_pem": ca, "bound_issuer": issuer}
    vault(operator, f"auth/jwt-{cloud}/config", discovery | {"jwt_supported_algs": ["ES256"]})


def write_role(operator: Access, cloud: str, workload: Workload, **changes: Any) -> None:
    """Write the workload's role as it is right, but for `changes`."""
    uid = account_uid(operator, cloud, workload)
    right = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": [operator.params.audience],
        "bound_subject": f"system:serviceaccount:{workload.namespace}:{workload.account}",
        "bound_claims": {"/kubernetes.io/serviceaccount/uid": uid},
        "token_policies": [workload.policy(cloud)],
        "token_ttl": "15m",
        "token_max_ttl": "1h",
    }
    vault(operator, f"auth/jwt-{cloud}/role/{workload.role}", right | changes)


def write_policy(operator: Access, cloud: str, workload: Workload, text: str) -> None:
    """Write the workload's Vault policy."""
    vault(operator, f"sys/policies/acl/{workload.policy(cloud)}", {"policy": text})


def vault(operator: Access, path: str, body: dict[str, Any]) -> None:
    """Write to Vault with the operator's token."""
    with Clients(operator) as clients:
        answer = clients.vault("POST", path, operator.vault.token, body)
        assert answer.is_success, answer.text


def account_uid(operator: Access, cloud: str, workload: Workload) -> str:
    """The uid of the workload's service account now."""
    with Clients(operator) as clients:
        answer = clients.kube(cloud, "GET", account_path(workload.namespace, workload.account))
        return str(answer.raise_for_status().json()["metadata"]["uid"])


def _trust(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca)
