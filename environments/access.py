"""Who may reach what: the one file that carries endpoints and credentials to a notebook, the cage or the judge."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from environments.errors import BadInputError
from environments.labspec import Capability
from environments.params import LearnerParams
from environments.rehearsal import Incident, Record
from environments.yamlfile import Strict, read_text

ACCESS_VARIABLE = "MOD209_ACCESS"
# Set where the judge is about to ask everything anyway, and a self-check would only take time.
NO_SELF_CHECK_VARIABLE = "MOD209_NO_SELF_CHECK"
Role = Literal["operator", "judge"]
UNASKED: dict[Capability, str] = {"runtime": ""}  # which nothing is begun for where no task of the lab needs it


class Identity(Strict):
    """Somebody who asks a cloud, with all that its API server finds out about people and that policies may look at."""

    user: str
    groups: list[str] = Field(default_factory=list)
    uid: str = ""
    credential: str = ""


class WaysAccess(Strict):
    """A node's program that tries connections: its address, a client certificate (PEM), and pods' addresses by name."""

    url: str
    ca: str
    cert: str
    key: str
    ends: dict[str, str] = Field(default_factory=dict)


class CloudAccess(Strict):
    """One cloud's API server, the client certificate for it (PEM), and the issuer of its service-account tokens.

    `people` are those as whom its holder may ask, the operator first; who has none asks as oneself.
    """

    server: str
    ca: str
    cert: str
    key: str
    issuer: str
    people: list[Identity] = Field(default_factory=list)
    ways: WaysAccess | None = None


class VaultAccess(Strict):
    """Vault's address, the CA that signed its certificate (PEM) and a token."""

    address: str
    ca: str
    token: str


class WorkbenchAccess(Strict):
    """The service that lints and loads learners' policies; only operators have it."""

    address: str
    ca: str
    token: str


class Access(Strict):
    """Everything that one role needs to work on one footprint.

    `rehearsal` is what the watch saw of the learner's rotation; only the judge has it from here, operators ask the workbench.
    `without` are the capabilities that the footprint lacks, each with the reason; an empty one where no task asks for it.
    """

    role: Role
    provider: str
    lab: str
    clouds: dict[str, CloudAccess]
    vault: VaultAccess
    workbench: WorkbenchAccess | None = None
    reach: str = Field(default="", description="path of our program that knows what NetworkPolicies allow")
    params: LearnerParams
    incidents: dict[str, Incident] = Field(default_factory=dict)
    rehearsal: Record | None = None
    without: dict[Capability, str] = Field(default_factory=lambda: dict(UNASKED))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the footprint can do."""
        return frozenset(get_args(Capability)) - self.without.keys()

    def ports(self) -> tuple[int, ...]:
        """The loopback TCP ports behind all endpoints, sorted."""
        urls = [cloud.server for cloud in self.clouds.values()] + [self.vault.address]
        urls += [cloud.ways.url for cloud in self.clouds.values() if cloud.ways]
        if self.workbench:
            urls.append(self.workbench.address)
        return tuple(sorted({port for url in urls if (port := urlsplit(url).port)}))


def read_access(path: Path | None = None) -> Access:
    """The access file at `path`, else the one that `MOD209_ACCESS` names.

    Raises:
        BadInputError: there is none, or it is damaged.
    """
    name = path or os.environ.get(ACCESS_VARIABLE)
    if not name:
        raise BadInputError("No footprint is named.", hint="Start one with: mod209 up zero-trust")
    try:
        return Access.model_validate_json(read_text(Path(name)))
    except ValidationError:
        raise BadInputError(
            f"{name} is not an access file.", hint="Start the footprint again: mod209 down, mod209 up."
        ) from None


def write_access(path: Path, access: Access) -> None:
    """Write the file so that nobody but its owner can ever read it, and never half."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(access.model_dump_json())
    part.replace(path)
