"""What learners fill in Vault, engine by engine: what a dump says of it, what of that is theirs, and how it is undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import httpx

from environments.baseline.vault import Seeds
from environments.cleanroom.engines import approle, jwt, pki, transit

__all__ = ["ENGINES", "Engine"]


class Engine(Protocol):
    """One engine; each cloud has one of it. `client` carries the root token."""

    def document(self, client: httpx.Client, cloud: str) -> dict[str, Any]:
        """Everything that matters in it, path to content; the same after a reset as before."""

    def learners(self, cloud: str) -> Sequence[str]:
        """Paths of the document that are the learner's to change; one with a slash at its end means all below it."""

    def undo(self, client: httpx.Client, cloud: str, seeds: Seeds) -> None:
        """Bring it back to how it began, if it is not."""


ENGINES: Final[tuple[Engine, ...]] = (jwt, pki, transit, approle)
