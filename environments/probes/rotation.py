"""Probes of a rotation: which push credential lets whom in, and what its clients met while it changed."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import httpx

from environments.baseline.approle import approle_mount, credential_path, role_path
from environments.probes.cases import Case
from environments.probes.clients import Server, json_of, message_of
from environments.probes.kinds.rotation import PushCertificateProbe, RotationProbe
from environments.probes.observation import ALLOWED, REFUSED, BrokenError, Finding, UnreachableError, brief
from environments.probes.push_certificates import ask_certificate
from environments.probes.wire import Wire
from environments.rehearsal import CloudRecord, Incident, Record

SILENT_SECONDS: Final = 5.0  # a client that got no answer for longer says nothing about the learner's rotation


@dataclass(frozen=True, kw_only=True)
class Current:
    """The credential that lies in kv now, and why Vault refuses it, if it does."""

    version: int
    role_id: str
    secret_id: str
    refused: str


def ask_push(probe: RotationProbe | PushCertificateProbe, case: Case, wire: Wire) -> Finding:
    """Ask about a push credential or a push job's certificate."""
    if isinstance(probe, PushCertificateProbe):
        return ask_certificate(probe, case, wire)
    return _ask_rotation(probe, case, wire)


def _ask_rotation(probe: RotationProbe, case: Case, wire: Wire) -> Finding:
    """Ask what the probe is about. That something is refused counts only if the credential in kv lets its bearer in."""
    asks: dict[str, tuple[str, Callable[[], tuple[str, str]]]] = {
        "calls": ("watch clients while the credential is rotated", lambda: _calls(case, wire)),
        "new": ("log in with the credential in kv, a new one", lambda: _new(case, wire)),
        "used": (
            "log in with the secret id from before the rotation",
            lambda: _dead(case, wire, _incident(case, wire).used),
        ),
        "leaked": ("log in with the secret id that leaked", lambda: _dead(case, wire, _incident(case, wire).leaked)),
        "versions": ("bring back an earlier version of the credential in kv", lambda: _versions(case, wire)),
        "secret-ids": ("log in with any other secret id", lambda: _others(case, wire)),
    }
    words, ask = asks[probe.of]
    request = f"{words}, at {approle_mount(case.cloud)}"
    if probe.expect == REFUSED and (fault := _current(case, wire).refused):
        detail = f"The credential in kv is refused too, so this says nothing: {fault}"
        return Finding(request=request, expected=probe.expect, got="not usable", detail=detail, ok=False)
    got, detail = ask()
    return Finding(request=request, expected=probe.expect, got=got, detail=detail, ok=got == probe.expect)


def _new(case: Case, wire: Wire) -> tuple[str, str]:
    current, incident = _current(case, wire), _incident(case, wire)
    if current.secret_id in (incident.used, incident.leaked):
        return "not rotated", "The secret id in kv is not a new one."
    return (REFUSED, current.refused) if current.refused else (ALLOWED, "")


def _dead(case: Case, wire: Wire, secret_id: str) -> tuple[str, str]:
    reason = _log_in(case, wire, _incident(case, wire).role_id, secret_id)
    return (REFUSED, reason) if reason else (ALLOWED, "")


def _versions(case: Case, wire: Wire) -> tuple[str, str]:
    """Earlier versions are gone, not only deleted: a deleted one can be undeleted."""
    about = _told(wire, "GET", f"kv/metadata/{credential_path(case.cloud)}")
    current = _current(case, wire).version
    left = [n for n, version in about["versions"].items() if int(n) < current and not version["destroyed"]]
    # With no earlier version there is nothing to destroy, and nothing was rotated.
    if current > 1 and not left:
        return REFUSED, ""
    return ALLOWED, f"Not destroyed: version {', '.join(left) or current}. The newest is {current}."


def _others(case: Case, wire: Wire) -> tuple[str, str]:
    count = len(_told(wire, "LIST", f"{role_path(case.cloud)}/secret-id").get("keys", ()))
    return (REFUSED, "") if count == 1 else (ALLOWED, f"The role has {count} secret ids, not only the one in use.")


def _calls(case: Case, wire: Wire) -> tuple[str, str]:
    record = wire.access.rehearsal or wire.once("record", lambda: _asked_record(wire))
    if not record:
        return "not watched", "No rotation was watched: do it inside `with lab.watch() as watch:`."
    if not record.ended:
        return "broke off", "The watch did not come to its end; it lasts for a minute at most."
    return _met(record.clouds[case.cloud], _current(case, wire))


def _met(seen: CloudRecord, current: Current) -> tuple[str, str]:
    """What became of one cloud's clients, given what lies in kv now."""
    if seen.failed:
        return "calls failed", f"{seen.failed} of {seen.calls} calls failed."
    if seen.silent > SILENT_SECONDS:
        raise UnreachableError(f"Vault gave the clients no answer for {seen.silent:.1f} s.")
    if len({spell.credential for spell in seen.spells}) == 1:
        return "not rotated", "The clients went on with one credential: nothing was rotated while they were watched."
    if seen.spells[-1].credential != sha256(current.secret_id.encode()).hexdigest():
        return "changed afterwards", "The credential in kv is not the one that the clients ended with."
    return ALLOWED, f"{seen.calls} calls, none failed."


def _asked_record(wire: Wire) -> Record | None:
    """What operators are told by the workbench; the judge has it in its access, if there is one."""
    bench = wire.access.workbench
    if bench is None:
        return None
    server = Server("The workbench", bench.address, ssl.create_default_context(cadata=bench.ca))
    try:
        answer = server.ask("POST", "/watch/record", headers=[("Authorization", f"Bearer {bench.token}")])
    finally:
        server.close()
    found = json_of(answer).get("record")
    return Record.model_validate(found) if found else None


def _current(case: Case, wire: Wire) -> Current:
    return wire.once(("push credential", case.cloud), lambda: _read_current(case, wire))


def _read_current(case: Case, wire: Wire) -> Current:
    found = _told(wire, "GET", f"kv/data/{credential_path(case.cloud)}")
    data: Mapping[str, Any] = found.get("data") or {}
    role_id, secret_id = str(data.get("role_id")), str(data.get("secret_id"))
    refused = _log_in(case, wire, role_id, secret_id)
    return Current(version=int(found["metadata"]["version"]), role_id=role_id, secret_id=secret_id, refused=refused)


def _log_in(case: Case, wire: Wire, role_id: str, secret_id: str) -> str:
    """Why Vault refuses a login; empty if it does not."""
    body = {"role_id": role_id, "secret_id": secret_id}
    answer = wire.clients.vault("POST", f"auth/{approle_mount(case.cloud)}/login", body=body)
    if answer.is_server_error:
        raise UnreachableError(f"Vault fails: {brief(message_of(answer))}")
    return "" if answer.is_success else brief(message_of(answer)) or f"status {answer.status_code}"


def _told(wire: Wire, method: str, path: str) -> dict[str, Any]:
    """Data at a path that whoever probes may read."""
    answer = wire.clients.vault(method, path, wire.access.vault.token)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise BrokenError(f"There is nothing at {path}.")
    if answer.is_error:
        raise UnreachableError(f"Vault does not tell {path}: {brief(message_of(answer))}")
    data: dict[str, Any] = json_of(answer)["data"]
    return data


def _incident(case: Case, wire: Wire) -> Incident:
    if case.cloud not in wire.access.incidents:
        raise UnreachableError("This footprint knows of no incident.")
    return wire.access.incidents[case.cloud]
