"""Shapes of a rotation: the incident that calls for it, and what a watch saw while it was rehearsed."""

from __future__ import annotations

from environments.yamlfile import Strict

CACHE_SECONDS = 0.5  # for this long a client goes on with what it has read; then it reads again
GRACE_SECONDS = 2.0  # who keeps the old credential for so long after the new one is written never fails a call


class Signed(Strict):
    """A certificate and its private key, both PEM."""

    cert: str
    key: str


class Incident(Strict):
    """One cloud's credential for pushing models, and what leaked of it.

    `used` and `leaked` are secret ids of the role whose id is `role_id`. `certificates` are those of all push jobs; the
    one whose SHA-256 is `fingerprint` (hex) leaked with its key.
    """

    role_id: str
    used: str
    leaked: str
    certificates: list[Signed]
    fingerprint: str


class Spell(Strict):
    """Calls with one credential: `credential` is the SHA-256 of the secret id (hex), `version` that of the secret in kv."""

    credential: str
    version: int
    calls: int = 0
    failed: int = 0


class CloudRecord(Strict):
    """What one cloud's clients met, credential after credential.

    `gone` counts reads that found no credential. `silent` is the longest time in seconds in which Vault gave a client no
    answer at all, which is never a learner's fault.
    """

    spells: list[Spell]
    gone: int
    silent: float

    @property
    def calls(self) -> int:
        """All calls."""
        return sum(spell.calls for spell in self.spells)

    @property
    def failed(self) -> int:
        """All that failed."""
        return self.gone + sum(spell.failed for spell in self.spells)


class Record(Strict):
    """What a watch saw on all clouds. `armed` marks the learner's turn that it was made in; `ended` is false where it broke off."""

    armed: str
    ended: bool
    seconds: float
    clouds: dict[str, CloudRecord]
