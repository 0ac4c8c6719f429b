"""A rotation under watch: `with lab.watch() as watch:` lets clients work on every cloud, and counts what fails."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import httpx

from environments.access import WorkbenchAccess
from environments.errors import BadInputError, FootprintError
from environments.lab.credentials import client, tls
from environments.rehearsal import CACHE_SECONDS, GRACE_SECONDS, Incident, Record

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Leak:
    """What is known of an incident on one cloud.

    Attributes:
        secret_id: the secret id that was found where it must not be.
        fingerprint: SHA-256 (hex) of the certificate that was found with it.
        certificates: those of all push jobs (PEM); one of them is it.
    """

    secret_id: str
    fingerprint: str
    certificates: tuple[str, ...]


def leak_of(incident: Incident) -> Leak:
    """The part of an incident that its report tells."""
    return Leak(incident.leaked, incident.fingerprint, tuple(one.cert for one in incident.certificates))


class Watch:
    """Clients at work on every cloud while the context lasts. They tell which version of the credential they use.

    Attributes:
        cache_seconds: for so long a client goes on with what it has read.
        grace_seconds: who keeps the old credential for so long never fails a call.
        record: what the clients met, once the context is left.
    """

    cache_seconds = CACHE_SECONDS
    grace_seconds = GRACE_SECONDS

    def __init__(self, access: WorkbenchAccess) -> None:
        self._access = access
        self._owner = ExitStack()
        self.record: Record | None = None

    def __enter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._access.token}"}
        self._http = self._owner.enter_context(client(self._access.address, tls(self._access.ca), headers))
        self._ask("begin")
        return self

    def __exit__(self, *_: object) -> None:
        with self._owner:
            self.record = Record.model_validate(self._ask("end"))

    def __repr__(self) -> str:
        if not self.record:
            return "<Watch: under way>" if hasattr(self, "_http") else "<Watch: not begun>"
        lines = [f"watched for {self.record.seconds:.1f} s"] if self.record.ended else ["broke off before its end"]
        for cloud, seen in self.record.clouds.items():
            versions = ", ".join(f"{spell.calls} with version {spell.version}" for spell in seen.spells)
            lines.append(f"  {cloud:<6} {seen.failed} of {seen.calls} calls failed ({versions})")
        return "\n".join(lines)

    def using(self, cloud: str) -> int:
        """The version of the credential in kv that all clients of `cloud` have come to, or gone beyond.

        Raises:
            BadInputError: nothing is being watched.
        """
        version: int = self._ask("using")[cloud]
        return version

    def wait_for(self, cloud: str, version: int, seconds: float = 10.0) -> None:
        """Wait until all clients of `cloud` use `version` of the credential.

        Raises:
            FootprintError: they do not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while self.using(cloud) < version:
            if time.monotonic() > deadline:
                raise FootprintError(
                    f"The clients of {cloud} have not come to version {version} within {seconds:g} s.",
                    hint="Has it been written to kv? They read again every half second.",
                )
            time.sleep(POLL_SECONDS)

    def _ask(self, what: str) -> dict[str, Any]:
        try:
            answer = self._http.post(f"/watch/{what}")
        except httpx.HTTPError:
            raise FootprintError("The watch does not answer.", hint="Look with: mod209 status") from None
        found: dict[str, Any] = answer.json()
        if answer.status_code != httpx.codes.OK:
            raise BadInputError(f"The watch says: {found.get('error')}.", hint="Use it as: with lab.watch() as watch:")
        return found
