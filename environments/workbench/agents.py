"""Clients of a cloud's registry, as there are many: each works with a credential that it has read a moment ago."""

from __future__ import annotations

import time
from collections import Counter
from hashlib import sha256
from threading import Event
from typing import Any

import httpx

from environments.baseline.approle import approle_mount, credential_path
from environments.rehearsal import CACHE_SECONDS, GRACE_SECONDS, Spell

CALL_SECONDS = 0.1  # far shorter than the cache lasts, so that no credential dies unnoticed
REFUSALS = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN})


class Agent:
    """One client: logs in all the time, and reads its credential again whenever its cache is over.

    It keeps apart what a rotation causes from what a busy machine does: an answer that never came is no failed call, nor
    is one with a credential that it read longer ago than the grace period, because it was held up itself.

    Attributes:
        version: of the credential that its next call uses; 0 while it has none.
        tried: when it read the credential of its last call (monotonic clock).
        gone: how often it found no credential.
        silent: longest time without any answer, in seconds.
        dismissed: whether Vault knows its token no more.
    """

    def __init__(self, vault: httpx.Client, cloud: str, token: str, first_read: float) -> None:
        self._vault = vault
        self._login = f"/v1/auth/{approle_mount(cloud)}/login"
        self._secret = f"/v1/kv/data/{credential_path(cloud)}"
        self._headers = {"X-Vault-Token": token}
        self._credential: dict[str, Any] = {}
        self._next_read = self._read_at = first_read
        self._answered_at = time.monotonic()
        self._calls: Counter[tuple[str, int]] = Counter()
        self._failed: Counter[tuple[str, int]] = Counter()
        self.version = 0
        self.tried = 0.0
        self.gone = 0
        self.silent = 0.0
        self.dismissed = False

    def spells(self) -> list[Spell]:
        """Calls so far, credential after credential."""
        return [
            Spell(credential=digest, version=version, calls=calls, failed=self._failed[digest, version])
            for (digest, version), calls in self._calls.copy().items()
        ]

    def work(self, stopped: Event, deadline: float) -> None:
        """Go on until `stopped`, until `deadline` (of the monotonic clock), or until Vault knows its token no more."""
        due = time.monotonic()
        while not (self.dismissed or stopped.wait(max(0.0, due - time.monotonic()))) and time.monotonic() < deadline:
            due = max(due + CALL_SECONDS, time.monotonic())
            if self.version == 0 or time.monotonic() >= self._next_read:
                self._read()
            if self.version:
                self._call()
        self._heard(at=time.monotonic(), answered=False)

    def _read(self) -> None:
        began = time.monotonic()
        answer = self._ask("GET", self._secret, headers=self._headers)
        if answer is None:
            return
        if answer.status_code == httpx.codes.FORBIDDEN:
            self.dismissed = True
        elif answer.status_code == httpx.codes.NOT_FOUND:
            self.gone += 1
            self._read_at = began
        elif answer.is_success:
            self._take(answer.json()["data"], began)
        # The moments to read at are fixed, so that a cloud's clients never come to read at the same time.
        while self._next_read <= time.monotonic():
            self._next_read += CACHE_SECONDS

    def _take(self, found: dict[str, Any], began: float) -> None:
        self._credential = found["data"] or {}
        self._read_at = began
        self.version = int(found["metadata"]["version"])

    def _call(self) -> None:
        body = {key: self._credential.get(key) for key in ("role_id", "secret_id")}
        answer = self._ask("POST", self._login, json=body)
        if answer is None:
            return
        failed = answer.status_code in REFUSALS
        if failed and time.monotonic() - self._read_at > GRACE_SECONDS:
            self._next_read = 0.0  # held up for so long: what is refused now may have been right when it was due
            return
        digest = sha256(str(self._credential.get("secret_id")).encode()).hexdigest()
        self._calls[digest, self.version] += 1
        self._failed[digest, self.version] += failed
        self.tried = self._read_at

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        """The answer; None where there is none, or Vault says that it cannot."""
        try:
            answer = self._vault.request(method, path, **request)
        except httpx.TransportError:
            return None
        if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return None
        self._heard(at=time.monotonic(), answered=True)
        return answer

    def _heard(self, *, at: float, answered: bool) -> None:
        self.silent = max(self.silent, at - self._answered_at)
        if answered:
            self._answered_at = at
