"""Kubernetes manifests of a learner, applied server-side to a cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from environments.errors import BadInputError
from environments.lab.cloud import Cloud
from environments.lab.lint import lint_yaml, refuse

ADMISSION_KINDS = frozenset({"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})


@dataclass(frozen=True)
class Manifest:
    """One object of a manifest file, and the line where it starts."""

    file: str
    line: int
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])

    @property
    def title(self) -> str:
        """Kind and name, for messages."""
        return f"{self.kind} {self.body['metadata']['name']}"


def read_manifests(file: str, text: str) -> list[Manifest]:
    """All objects of one file, in order.

    Raises:
        BadInputError: the file is not YAML, or holds something else than Kubernetes objects; all problems with lines.
    """
    refuse(lint_yaml(file, text))
    nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if isinstance(node, yaml.MappingNode)]
    bodies = [body for body in yaml.safe_load_all(text) if body is not None]
    return [Manifest(file, node.start_mark.line + 1, body) for node, body in zip(nodes, bodies, strict=True)]


def apply_manifest(cloud: Cloud, manifest: Manifest) -> None:
    """Create the object on `cloud`, or bring it in line with the manifest (server-side apply).

    Raises:
        BadInputError: the cloud has no such kind, the namespace is missing, or it refuses the object.
        FootprintError: the cloud does not answer.
    """
    try:
        cloud.apply(manifest.body)
    except BadInputError as error:
        raise BadInputError(f"{manifest.file}:{manifest.line}: {error.message}", hint=error.hint) from None
