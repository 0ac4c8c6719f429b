"""Policies to hold the model against real traffic with: the reference's, those of all variants of ZT-4, and random ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import yaml

from environments.platform import DATA_LABEL, platform
from environments.probes.pairs import APP, STRAY_NAMESPACE

Policy = dict[str, Any]
LAB = Path(__file__).parents[2] / "solutions" / "zero-trust"
NOTEBOOK = "zt-4-network-and-mtls.ipynb"
CELLS = ("zt-4-network", "zt-4-network-apply")


def reference() -> dict[str, str]:
    """The cells of the reference that are about the network, by their names."""
    cells = json.loads((LAB / "notebooks" / NOTEBOOK).read_text())["cells"]
    named = {cell["metadata"].get("nbgrader", {}).get("grade_id"): "".join(cell["source"]) for cell in cells}
    return {name: named[name] for name in CELLS}


def variants() -> Iterator[tuple[str, dict[str, str]]]:
    """Every variant that writes other policies than the reference, and its cells."""
    for path in sorted(LAB.glob("*/*/variant.yaml")):
        said, cells = yaml.safe_load(path.read_text()), reference()
        for edit in said.get("edits", ()):
            if edit["cell"] in cells:
                assert edit["find"] in cells[edit["cell"]]
                cells[edit["cell"]] = cells[edit["cell"]].replace(edit["find"], edit["replace"])
        cells |= {
            name: (path.parent / file).read_text() for name, file in said.get("cells", {}).items() if name in cells
        }
        if cells != reference():
            yield path.parent.name, cells


def policies_of(cells: dict[str, str], folder: Path) -> list[Policy]:
    """What the cells of the reference or a variant of ours make: they run with a lab that only writes files."""
    other = SimpleNamespace(apply=lambda policy: None)
    lab = SimpleNamespace(
        flows=platform().needed, workloads=platform().workloads, apply=lambda path: None, cloud=lambda name: other
    )
    names: dict[str, Any] = {"lab": lab, "yaml": yaml, "Path": lambda name: folder / name}
    for name in CELLS:
        exec(compile(cells[name], name, "exec"), names)
    return [one for one in yaml.safe_load_all((folder / "manifests/network.yaml").read_text()) if one]


class Generator:
    """Random policies about the crew's pods; the same ones for the same seed."""

    def __init__(self, seed: int, ports: list[tuple[int, str]], addresses: list[str]) -> None:
        self._random = Random(seed)
        self._ports = ports
        self._addresses = addresses
        self._accounts = [workload.account for workload in platform().workloads]
        self._count = 0

    def policies(self, count: int) -> list[Policy]:
        """The next policies."""
        return [self._policy() for _ in range(count)]

    def _policy(self) -> Policy:
        self._count += 1
        types = self._random.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        spec: dict[str, Any] = {"podSelector": self._selector(), "policyTypes": types}
        if "Ingress" in types:
            spec["ingress"] = self._rules("from")
        if "Egress" in types:
            spec["egress"] = self._rules("to")
        namespace = self._random.choice([*platform().namespaces, STRAY_NAMESPACE])
        kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        return {**kind, "metadata": {"name": f"p{self._count}", "namespace": namespace}, "spec": spec}

    def _rules(self, side: str) -> list[Policy]:
        return [
            {
                side: [self._peer() for _ in range(self._random.randrange(3))],
                "ports": [self._port() for _ in range(self._random.randrange(3))],
            }
            for _ in range(self._random.randrange(3))
        ]

    def _peer(self) -> Policy:
        match self._random.randrange(4):
            case 0:
                return {"ipBlock": self._block()}
            case 1:
                return {"podSelector": self._selector()}
            case 2:
                return {"namespaceSelector": self._namespaces()}
            case _:
                return {"namespaceSelector": self._namespaces(), "podSelector": self._selector()}

    def _block(self) -> Policy:
        address = self._random.choice(self._addresses)
        return self._random.choice(
            [
                {"cidr": "0.0.0.0/0"},
                {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16", "10.0.0.0/8"]},
                {"cidr": f"{address}/32"},
                {"cidr": "10.244.0.0/16", "except": [f"{address}/32"] if address.startswith("10.244.") else []},
                {"cidr": "198.51.100.0/24", "except": ["198.51.100.8/29"]},
                {"cidr": "2001:db8::/32"},
            ]
        )

    def _selector(self) -> Policy:
        account, other = self._random.sample(self._accounts, 2)
        return self._random.choice(
            [
                {},
                {"matchLabels": {APP: account}},
                {"matchLabels": {APP: account, DATA_LABEL: "internal"}},
                {"matchExpressions": [{"key": APP, "operator": "In", "values": [account, other]}]},
                {"matchExpressions": [{"key": APP, "operator": "NotIn", "values": [account]}]},
                {"matchExpressions": [{"key": APP, "operator": "Exists"}]},
                {"matchExpressions": [{"key": APP, "operator": "DoesNotExist"}]},
            ]
        )

    def _namespaces(self) -> Policy:
        name = self._random.choice([*platform().namespaces, STRAY_NAMESPACE])
        key = "kubernetes.io/metadata.name"
        return self._random.choice(
            [
                {},
                {"matchLabels": {key: name}},
                {"matchExpressions": [{"key": key, "operator": "NotIn", "values": [name]}]},
            ]
        )

    def _port(self) -> Policy:
        number, protocol = self._random.choice(self._ports)
        return self._random.choice(
            [
                {"port": number, "protocol": protocol},
                {"protocol": protocol},
                {"port": self._random.choice(["https", "registry", "dns", "dns-tcp"]), "protocol": protocol},
                {"port": number, "endPort": min(number + 500, 65535), "protocol": protocol},
            ]
        )
