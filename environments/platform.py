"""The ML platform on the clouds: its namespaces, workloads and data labels, as `platform.yaml` states them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from environments.rights import Need
from environments.yamlfile import Strict, load_yaml

DATA_LABEL = "mod209.io/data"
REGION_LABEL = "topology.kubernetes.io/region"
SYSTEM_NAMESPACE = "mod209-system"
FACTS_NAMESPACE = "mod209-facts"
FACTS_CONFIGMAP = "cloud-facts"
OPERATORS_GROUP = "mod209:operators"
JUDGES_GROUP = "mod209:judges"


PEERS_CONFIGMAP = "mtls-peers"
DNS = "dns"
EACH = "each"
DNS_NAMESPACE = "kube-system"
DNS_LABELS = {"k8s-app": "kube-dns"}
CREW_STEM = "crew-"  # names of the judge's pods, a number behind it
Protocol = Literal["TCP", "UDP", "SCTP"]


class Workload(Strict):
    """One workload of the platform: a service account in a namespace, and the label of the data it works on."""

    namespace: str
    account: str
    data: str

    @property
    def role(self) -> str:
        """Name of its role in Vault's jwt mounts."""
        return f"{self.namespace}-{self.account}"

    @property
    def name(self) -> str:
        """`namespace/account`, by which flows call it."""
        return f"{self.namespace}/{self.account}"

    def identity(self, cloud: str) -> str:
        """Its SPIFFE id on `cloud`, which its certificates carry."""
        return f"spiffe://{cloud}.mod209.example/ns/{self.namespace}/sa/{self.account}"

    def policy(self, cloud: str) -> str:
        """Name of its Vault policy on `cloud`."""
        return f"ml-{cloud}-{self.role}"

    def secret(self, cloud: str) -> str:
        """Path of its own secret below the `kv` mount."""
        return f"{cloud}/{self.namespace}/{self.account}"


class CloudSpec(Strict):
    """What is the same for every learner about one cloud."""

    regions: list[str] = Field(min_length=3)


class Flow(Strict):
    """Traffic that the platform needs: `source` and `target` are workloads (`namespace/account`), or `dns`."""

    source: str
    target: str
    port: int = Field(ge=1, le=65535)
    protocol: Protocol = "TCP"


class Platform(Strict):
    """The whole of `platform.yaml`."""

    clouds: dict[str, CloudSpec]
    workloads: list[Workload]
    data_labels: list[str]
    needs: list[Need]
    flows: list[Flow] = Field(description="as the file has them, with `each`; `needed` spells them out")

    @property
    def needed(self) -> list[Flow]:
        """Every flow between two of the workloads, or from one to DNS."""
        every = [workload.name for workload in self.workloads]
        return [
            flow.model_copy(update={"source": source, "target": target})
            for flow in self.flows
            for source in (every if flow.source == EACH else [flow.source])
            for target in (every if flow.target == EACH else [flow.target])
            if source != target
        ]

    def callers(self, target: Workload) -> list[Workload]:
        """The workloads that may call `target`."""
        sources = {flow.source for flow in self.needed if flow.target == target.name}
        return [workload for workload in self.workloads if workload.name in sources]

    @property
    def namespaces(self) -> list[str]:
        """The platform's namespaces, in order, each once."""
        return list(dict.fromkeys(workload.namespace for workload in self.workloads))


@cache
def platform() -> Platform:
    """The platform of the course."""
    return load_yaml(Path(__file__).with_name("platform.yaml"), Platform)
