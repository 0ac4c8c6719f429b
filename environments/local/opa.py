"""One cloud's OPA: started with our two packages, open only to kube-apiserver (to ask) and to the keeper (to load)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from environments.baseline.objects import HERE as BASELINE
from environments.local.control_plane import Endpoint
from environments.params import CloudParams
from environments.pki import Authority, Pair
from environments.supervisor.process import Command

LEARNER_PREFIX = "learner/"
# One line of Rego can ask for terabytes, and OPA has no limit of its own: without one the machine would go down with it.
MEMORY_LIMIT = ("/usr/bin/prlimit", f"--as={2 << 30}")
REGO = {"Content-Type": "text/plain"}


@dataclass(frozen=True, kw_only=True)
class Opa:
    """How to start and reach one OPA, and the certificate with which kube-apiserver asks it."""

    name: str
    port: int
    ca: str
    command: Command
    keeper: Endpoint
    webhook: Pair


def plan(name: str, folder: Path, port: int, binary: Path) -> Opa:
    """Write the certificates of cloud `name`'s OPA into `folder`, and say what to start."""
    authority = Authority(f"{name} opa")
    keeper, server = authority.client("mod209:keeper"), authority.server("opa")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in {
        "opa-ca.crt": authority.cert,
        "opa.crt": server.cert,
        "opa.key": server.key,
        "opa-keeper.crt": keeper.cert,
        "opa-keeper.key": keeper.key,
    }.items():
        (folder / file).write_text(text)
    endpoint = Endpoint(
        url=f"https://127.0.0.1:{port}",
        ca=folder / "opa-ca.crt",
        cert=folder / "opa-keeper.crt",
        key=folder / "opa-keeper.key",
    )
    argv = [
        *(MEMORY_LIMIT if Path(MEMORY_LIMIT[0]).exists() else ()),
        str(binary),
        "run",
        "--server",
        f"--addr={endpoint.url}",
        f"--tls-cert-file={folder / 'opa.crt'}",
        f"--tls-private-key-file={folder / 'opa.key'}",
        f"--tls-ca-cert-file={endpoint.ca}",
        "--authentication=tls",
        "--authorization=basic",
        "--skip-version-check",
        "--log-level=error",
        "--log-format=json",
        "--set=decision_logs.console=true",
        # Relative, since OPA names modules by the path given, and its errors reach learners.
        "system.rego",
        "authz.rego",
    ]
    command = Command(name=f"{name}/opa", argv=argv, cwd=BASELINE, ready=lambda: endpoint.answers("/health"))
    return Opa(
        name=name,
        port=port,
        ca=authority.cert,
        command=command,
        keeper=endpoint,
        webhook=authority.client("mod209:webhook"),
    )


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
