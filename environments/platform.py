"""The ML platform on the clouds: its namespaces, workloads and data labels, as `platform.yaml` states them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

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


class Workload(Strict):
    """One workload of the platform: a service account in a namespace, and the label of the data it works on."""

    namespace: str
    account: str
    data: str

    @property
    def role(self) -> str:
        """Name of its role in Vault's jwt mounts."""
        return f"{self.namespace}-{self.account}"

    def policy(self, cloud: str) -> str:
        """Name of its Vault policy on `cloud`."""
        return f"ml-{cloud}-{self.role}"

    def secret(self, cloud: str) -> str:
        """Path of its own secret below the `kv` mount."""
        return f"{cloud}/{self.namespace}/{self.account}"


class CloudSpec(Strict):
    """What is the same for every learner about one cloud."""

    regions: list[str] = Field(min_length=3)


class Platform(Strict):
    """The whole of `platform.yaml`."""

    clouds: dict[str, CloudSpec]
    workloads: list[Workload]
    data_labels: list[str]
    needs: list[Need]

    @property
    def namespaces(self) -> list[str]:
        """The platform's namespaces, in order, each once."""
        return list(dict.fromkeys(workload.namespace for workload in self.workloads))


@cache
def platform() -> Platform:
    """The platform of the course."""
    return load_yaml(Path(__file__).with_name("platform.yaml"), Platform)
