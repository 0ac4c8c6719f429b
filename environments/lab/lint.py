"""Syntax and type errors of a learner's policies, each with file and line, before anything is applied."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from environments.access import WorkbenchAccess
from environments.errors import BadInputError, FootprintError
from environments.lab.credentials import client, tls


@dataclass(frozen=True)
class Problem:
    """One thing wrong in one file; `line` is 1-based, 0 where the tool names none."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class Workbench:
    """The footprint's service that lints policies and loads Rego into the admission webhooks of all clouds."""

    def __init__(self, access: WorkbenchAccess, owner: ExitStack) -> None:
        headers = {"Authorization": f"Bearer {access.token}"}
        self._http = owner.enter_context(client(access.address, tls(access.ca), headers))

    def lint(self, files: Mapping[str, str]) -> list[Problem]:
        """Problems of `.rego` and `.hcl` files (name -> text)."""
        return self._post("/lint", files)

    def load(self, files: Mapping[str, str]) -> list[Problem]:
        """Load `.rego` files on every cloud in place of all that was loaded; on problems nothing changes."""
        return self._post("/apply", files)

    def _post(self, path: str, files: Mapping[str, str]) -> list[Problem]:
        try:
            response = self._http.post(path, json={"files": dict(files)})
            if response.status_code not in (200, 422):
                raise FootprintError(_refusal(response), hint="Try again; if it stays so: mod209 down, mod209 up.")
            errors: list[dict[str, Any]] = response.json()["errors"]
        except (httpx.HTTPError, ValueError, KeyError):
            raise FootprintError(
                "The policy service of the footprint does not answer.", hint="Look with: mod209 status"
            ) from None
        return [Problem(str(e.get("file") or "?"), int(e.get("line") or 0), str(e.get("message"))) for e in errors]


def lint_yaml(name: str, text: str) -> list[Problem]:
    """Problems of a manifest file: not YAML, or a document that is not a Kubernetes object."""
    try:
        documents = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node]
        objects = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return [Problem(name, mark.line + 1 if mark else 0, getattr(error, "problem", None) or "not valid YAML")]
    lines = [node.start_mark.line + 1 for node in documents if node.tag != "tag:yaml.org,2002:null"]
    problems = ((line, _fault(item)) for line, item in zip(lines, objects, strict=True))
    return [Problem(name, line, fault) for line, fault in problems if fault]


def lint(files: Mapping[str, str], workbench: Workbench) -> list[Problem]:
    """Problems of any mix of `.rego`, `.hcl` and YAML files (name -> text), in the order of the names."""
    manifests = {name for name in files if name.endswith((".yaml", ".yml"))}
    policies = {name: text for name, text in files.items() if name.endswith((".rego", ".hcl"))}
    problems = [problem for name in manifests for problem in lint_yaml(name, files[name])]
    if policies:
        problems += workbench.lint(policies)
    return sorted(problems, key=lambda problem: (problem.file, problem.line))


def refuse(problems: list[Problem]) -> None:
    """Say all `problems`, if there are any.

    Raises:
        BadInputError: there are.
    """
    if problems:
        raise BadInputError("\n".join(map(str, problems)), hint="Mend the lines named, and run the cell again.")


def _fault(item: object) -> str:
    if not isinstance(item, dict):
        return "not a Kubernetes object (a mapping with apiVersion, kind and metadata)"
    metadata = item.get("metadata")
    if not all(isinstance(item.get(key), str) for key in ("apiVersion", "kind")):
        return "apiVersion or kind is missing"
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return "metadata.name is missing"
    return ""


def _refusal(response: httpx.Response) -> str:
    return f"The policy service refused the request (HTTP {response.status_code}): {response.text[:200]}"
