"""Probes of the table with labelled data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Self

from pydantic import model_validator

from environments.probes.kinds.base import BaseProbe, Decision

# How the questions about the encrypted table may be put: where one looks, by which path a key is used, what is moved.
HOWS: Final[Mapping[str, Sequence[str]]] = {
    "clear": ("configmaps", "others"),
    "use": ("decrypt", "encrypt", "rewrap", "datakey/plaintext", "datakey/wrapped", "manage"),
    "export": ("export", "backup"),
    "moved": ("row", "label", "cloud"),
}


class TableProbe(BaseProbe):
    """A question about the table with labelled data on a cloud: `HOWS` lists which, and how each may be put.

    `label` is whose key or fields it is about. `of: elsewhere` asks the same of each other cloud's key.
    """

    kind: Literal["table"]
    expect: Decision
    ask: Literal["clear", "recover", "use", "outdated", "current", "settings", "export", "moved", "shared"]
    how: str = ""
    label: Literal["personal", "health"] = "health"
    of: Literal["own", "elsewhere"] = "own"
    workload: str = "features/feature-store"

    @model_validator(mode="after")
    def _known_way(self) -> Self:
        if self.how not in HOWS.get(self.ask, ("",)):
            raise ValueError(f"{self.ask} is asked by how: {', '.join(HOWS.get(self.ask, ()))}")
        return self
