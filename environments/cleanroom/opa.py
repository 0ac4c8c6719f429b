"""What is asked of a cloud's OPA: its facts, and which policy modules it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx

from environments.cleanroom.endpoint import Endpoint
from environments.params import CloudParams

LEARNER_PREFIX = "learner/"
# Our two packages. Named without a folder, since OPA names modules by the path given, and its errors reach learners.
POLICIES: Final = ("system.rego", "authz.rego")
REGO = {"Content-Type": "text/plain"}


@dataclass(frozen=True, kw_only=True)
class Opa:
    """One cloud's OPA: `webhook_url` is where its API server asks it, `keeper` where the footprint loads policies."""

    name: str
    ca: str
    webhook_url: str
    keeper: Endpoint


def serve(address: str, cert: str | Path, key: str | Path, ca: str | Path) -> list[str]:
    """Arguments of an OPA that is started where our packages are, and lets in those whom `ca` has certified."""
    return [
        "run",
        "--server",
        f"--addr={address}",
        f"--tls-cert-file={cert}",
        f"--tls-private-key-file={key}",
        f"--tls-ca-cert-file={ca}",
        "--authentication=tls",
        "--authorization=basic",
        "--skip-version-check",
        "--log-level=error",
        "--log-format=json",
        "--set=decision_logs.console=true",
        *POLICIES,
    ]


def put_facts(client: httpx.Client, name: str, cloud: CloudParams) -> None:
    """Make the cloud's facts what `data.cloud` says."""
    client.put("/v1/data/cloud", json={"name": name, **cloud.model_dump()}).raise_for_status()


def modules(client: httpx.Client) -> dict[str, str]:
    """All policy modules that the OPA holds: id to source."""
    answer = client.get("/v1/policies").raise_for_status()
    return {module["id"]: module["raw"] for module in answer.json()["result"]}


def replace_modules(client: httpx.Client, files: dict[str, str]) -> None:
    """Make the learner's modules exactly `files` (name to Rego).

    Raises:
        httpx.HTTPStatusError: OPA refused a module; what was loaded before is loaded again.
    """
    before = {
        key.removeprefix(LEARNER_PREFIX): raw for key, raw in modules(client).items() if key.startswith(LEARNER_PREFIX)
    }
    _delete(client, before)
    try:
        _load(client, files)
    except httpx.HTTPStatusError:
        _delete(client, files)
        _load(client, before)
        raise


def _delete(client: httpx.Client, names: Iterable[str]) -> None:
    """Delete modules in as many rounds as it takes: OPA keeps one that another still calls."""
    pending = list(names)
    while pending:
        left = [
            name
            for name in pending
            if client.delete(_path(name)).status_code not in (httpx.codes.OK, httpx.codes.NOT_FOUND)
        ]
        if len(left) == len(pending):
            client.delete(_path(left[0])).raise_for_status()
        pending = left


def _load(client: httpx.Client, files: dict[str, str]) -> None:
    """Load modules in as many rounds as it takes: OPA refuses one that calls a function of another that is not there yet."""
    pending = sorted(files)
    while pending:
        answers = {name: client.put(_path(name), content=files[name], headers=REGO) for name in pending}
        left = [name for name, answer in answers.items() if answer.is_error]
        if len(left) == len(pending):
            answers[left[0]].raise_for_status()
        pending = left


def _path(name: str) -> str:
    return f"/v1/policies/{quote(LEARNER_PREFIX + name)}"
