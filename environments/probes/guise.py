"""How requests look to a policy: who asks, by which tool, and whether anything is to be stored.

A policy can tell all this from a request, so it must not tell the judge from anybody else. Each check's requests go
through all people and both ways of asking in turn, begun where the seed says. A policy that spares one of them misses
some request of each check; one that refuses one of them refuses something compliant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from environments.access import Identity
from environments.params import token

# Field managers; kubectl asks for strict validation too.
CREATORS: Final = ("kubectl-create", "kubectl-client-side-apply", "helm", "argocd-controller", "kubectl-create")
CHANGERS: Final = ("kubectl-edit", "kubectl-client-side-apply", "helm", "argocd-controller", "kubectl-replace")
REAL: Final = 2  # of as many requests that must be refused one is no dry run
STORED: Final = 4  # and of those that must be allowed: each is cleaned up again


@dataclass(frozen=True, kw_only=True)
class Guise:
    """One request's looks; `who` is None for whoever holds the access."""

    who: Identity | None
    tool: str
    dry_run: bool

    def params(self) -> Mapping[str, str]:
        """The query of the request's URL."""
        strict = {"fieldValidation": "Strict"} if self.tool.startswith("kubectl") else {}
        dry = {"dryRun": "All"} if self.dry_run else {}
        return {"fieldManager": self.tool, **strict, **dry}


def guise(people: Sequence[Identity], turn: int, *, dry_run: bool, refused: bool, update: bool = False) -> Guise:
    """The guise whose turn it is. Without people all that may be a dry run is one; `dry_run` says whether it may."""
    tools = CHANGERS if update else CREATORS
    if not people:
        return Guise(who=None, tool=tools[0], dry_run=dry_run)
    lap = turn // len(people)
    stored = (turn + lap) % (REAL if refused else STORED) == 0
    # One tool more than people: so each comes to use all of them.
    return Guise(who=people[turn % len(people)], tool=tools[turn % len(tools)], dry_run=dry_run and not stored)


def first_turn(seed: bytes, *words: object) -> int:
    """Where the turns of what `words` name begin."""
    return int(token(seed, "turn", json.dumps(words, default=str)), 16)
