"""A cloud's encrypted table as its rightful reader sees it; each part is asked for once a run."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import httpx

from environments.baseline import cohort as delivered
from environments.baseline.vault import transit_mount
from environments.platform import Workload, platform
from environments.probes.clients import json_of, message_of
from environments.probes.observation import BrokenError, UnreachableError, brief
from environments.probes.table import Opened, StoredRow, open_envelope, place, read_table
from environments.probes.wire import Wire

READER: Final = "features-feature-store"
PATH: Final = f"/api/v1/namespaces/{delivered.NAMESPACE}/configmaps/{delivered.NAME}"


class Cohort:
    """The table of one cloud. Every method raises `BrokenError` where the learner's work does not give what it asks for."""

    def __init__(self, cloud: str, wire: Wire) -> None:
        self.cloud = cloud
        self.rows = delivered.rows(wire.access.params, cloud)
        self._wire = wire

    def stored(self) -> dict[str, StoredRow]:
        """The rows as they are stored, by id."""
        return self._wire.once(("table", self.cloud), self._read)

    def data_keys(self, label: str) -> dict[str, bytes]:
        """Each row's data key of a label, unwrapped by Vault for the feature store."""
        return self._wire.once(("data keys", self.cloud, label), lambda: self._unwrap(label))

    def opened(self, label: str) -> dict[str, Opened]:
        """Each row's envelope of a label, opened."""
        return self._wire.once(("opened", self.cloud, label), lambda: self._open(label))

    def key(self, label: str) -> dict[str, Any]:
        """What Vault says of the key that wraps a label's data keys."""
        return self._wire.once(("transit key", self.cloud, label), lambda: self._describe(label))

    def ask(self, token: str, path: str, body: object) -> httpx.Response:
        """Send a request to the cloud's transit mount with a Vault token."""
        answer = self._wire.clients.vault("POST", f"{transit_mount(self.cloud)}/{path}", token, body)
        if answer.is_server_error:
            raise UnreachableError(f"Vault fails: {brief(message_of(answer))}")
        return answer

    def reader(self) -> str:
        """A Vault token of the feature store."""
        workload = next(one for one in platform().workloads if one.role == READER)
        return token_of(self._wire, self.cloud, workload)

    def _read(self) -> dict[str, StoredRow]:
        answer = self._wire.clients.kube(self.cloud, "GET", PATH)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise BrokenError(f"There is no ConfigMap {delivered.NAME} in {delivered.NAMESPACE}.")
        if answer.is_error:
            raise UnreachableError(f"{self.cloud} does not show the table: {brief(message_of(answer))}")
        return read_table((json_of(answer).get("data") or {}).get(delivered.ROWS_KEY, ""), self.rows)

    def _unwrap(self, label: str) -> dict[str, bytes]:
        wrapped = {row: stored.envelope(label).key for row, stored in self.stored().items()}
        token, path = self.reader(), f"decrypt/{label}"
        batch = self.ask(token, path, {"batch_input": [{"ciphertext": key} for key in wrapped.values()]})
        results = (json_of(batch).get("data") or {}).get("batch_results") or self._one_by_one(token, path, wrapped)
        return {row: _plaintext(row, label, result) for row, result in zip(wrapped, results, strict=True)}

    def _one_by_one(self, token: str, path: str, wrapped: dict[str, str]) -> Sequence[dict[str, Any]]:
        """For a policy that lets no batch through; the first refusal stands for all."""
        results = []
        for key in wrapped.values():
            answer = self.ask(token, path, {"ciphertext": key})
            if answer.is_error:
                raise BrokenError(f"Vault unwraps no data key for the feature store: {brief(message_of(answer))}")
            results.append(json_of(answer)["data"])
        return results

    def _open(self, label: str) -> dict[str, Opened]:
        keys = self.data_keys(label)
        opened = {
            row: open_envelope(stored.envelope(label), keys[row], place(self.cloud, row, label))
            for row, stored in self.stored().items()
        }
        if shut := [row for row, one in opened.items() if one is None]:
            raise BrokenError(
                f"The {label} fields of {len(shut)} rows do not open with their data keys, first {shut[0]}."
            )
        return {row: one for row, one in opened.items() if one}

    def _describe(self, label: str) -> dict[str, Any]:
        path = f"{transit_mount(self.cloud)}/keys/{label}"
        answer = self._wire.clients.vault("GET", path, self._wire.access.vault.token)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise BrokenError(f"There is no key {path}.")
        if answer.is_error:
            raise UnreachableError(f"Vault does not show {path}: {brief(message_of(answer))}")
        told: dict[str, Any] = json_of(answer)["data"]
        return told


def token_of(wire: Wire, cloud: str, workload: Workload) -> str:
    """A Vault token of a workload.

    Raises:
        BrokenError: it cannot log in.
    """
    login = wire.session(cloud, workload)
    if not login.accepted:
        raise BrokenError(f"{workload.namespace}/{workload.account} could not log in (ZT-1): {login.reason}")
    return login.token


def _plaintext(row: str, label: str, result: dict[str, Any]) -> bytes:
    if not result.get("plaintext"):  # in a batch, one that fails has an empty text beside its error
        raise BrokenError(f"Vault does not unwrap the {label} key of {row}: {brief(str(result.get('error')))}")
    return base64.b64decode(result["plaintext"])
