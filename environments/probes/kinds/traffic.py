"""Probes of traffic, and of the certificates that go with it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from environments.probes.kinds.base import BaseProbe, Decision, Template, Tree
from environments.probes.pairs import Group


class ReachProbe(BaseProbe):
    """Traffic between two sets of groups (see `pairs.py`), as seen from a workload, on all ports that are tried.

    `allowed` is about the flows among them that the platform needs, `refused` about all others.
    """

    kind: Literal["reach"]
    expect: Decision
    source: list[Group] = Field(min_length=1)
    target: list[Group] = Field(min_length=1)


class HandshakeProbe(BaseProbe):
    """A caller comes to the workload's TLS endpoint, and asks to be let in.

    `client` is each workload that may call it (`callers`), each that may not (`others`), each that may on each other
    cloud (`elsewhere`), or one that may with a certificate of its own making (`self-signed`) or none (`nobody`).
    `server: elsewhere` puts the same workload of another cloud in the endpoint's place.
    """

    kind: Literal["handshake"]
    expect: Decision
    client: Literal["callers", "others", "elsewhere", "self-signed", "nobody"] = "callers"
    server: Literal["own", "elsewhere"] = "own"

    @model_validator(mode="after")
    def _fault_iff_refused(self) -> Self:
        if (self.client == "callers" and self.server == "own") != (self.expect == "allowed"):
            raise ValueError("a right caller of the right server is allowed, anybody else is refused")
        return self


class CertificateProbe(BaseProbe):
    """A logged-in workload asks Vault's PKI for a certificate, at `path` with `body`.

    `csr` is the SPIFFE id in a signing request that goes with it. `of` says whose `{target_role}` and `{target_identity}`
    are meant, as in `SecretProbe`. It is refused where no certificate comes, or one with no other name than its own.
    """

    kind: Literal["certificate"]
    expect: Decision
    path: Template = "pki-{cloud}/issue/{role}"
    of: Literal["own", "others", "elsewhere"] = "own"
    body: Tree = Field(default_factory=dict)
    csr: Template = ""

    @model_validator(mode="after")
    def _own_iff_allowed(self) -> Self:
        if self.expect == "allowed" and (self.body or self.csr or self.of != "own"):
            raise ValueError("what is allowed is a workload's own certificate, and nothing beside")
        return self
