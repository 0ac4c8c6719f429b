"""Probes of what a logged-in workload can do in Vault."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from environments.probes.kinds.base import BaseProbe, Decision, Template, Tree


class SecretProbe(BaseProbe):
    """A logged-in workload does `operation` on `path` in Vault.

    `{target}` in the path is the secret of `of`: its own, those of each of the `others` on its cloud, the same
    workload's `elsewhere` (each other cloud), or `far`, another workload of another cloud drawn by the seed.
    """

    kind: Literal["secret"]
    expect: Decision
    operation: Literal["read", "list", "write", "patch", "delete"] = "read"
    path: Template
    of: Literal["own", "others", "elsewhere", "far"] = "own"
    body: Tree = Field(default_factory=dict)
    destructive: bool = False

    @property
    def destroys(self) -> bool:
        """Whether the operation, if let through, takes away what other probes read."""
        return self.destructive


class CapabilitiesProbe(BaseProbe):
    """Vault is asked what a logged-in workload may do on `paths`: nothing but `at_most`."""

    kind: Literal["capabilities"]
    paths: list[Template] = Field(min_length=1)
    at_most: list[str]
