"""Probes of secrets: what a logged-in workload can do in Vault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import httpx

from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.facts import render
from environments.probes.kinds.secrets import CapabilitiesProbe, SecretProbe
from environments.probes.observation import ALLOWED, REFUSED, Finding, UnreachableError, brief
from environments.probes.wire import Wire, let_through

METHODS: Final = {"read": "GET", "list": "LIST", "write": "POST", "patch": "PATCH", "delete": "DELETE"}
PATCH_TYPE: Final = "application/merge-patch+json"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a request, and whether that is as it must be."""

    got: str
    ok: bool
    detail: str = ""


def ask_secret(probe: SecretProbe, case: Case, wire: Wire) -> Finding:
    """Do the operation as the workload; a refusal counts only if the workload can read its own secret."""
    path = render(probe.path, case.facts)
    request = f"{_who(case)}: {probe.operation} {path}"
    answer = _without_use(case, wire, needs_own=probe.expect == REFUSED) or _operate(probe, path, case, wire)
    return Finding(request=request, expected=probe.expect, got=answer.got, detail=answer.detail, ok=answer.ok)


def ask_capabilities(probe: CapabilitiesProbe, case: Case, wire: Wire) -> Finding:
    """Ask Vault itself what the workload's token may do; that it may do no more counts only if it can read its own secret."""
    paths = [render(path, case.facts) for path in probe.paths]
    request = f"{_who(case)}: may do on {', '.join(paths)}"
    expected = f"at most {', '.join(probe.at_most)}" if probe.at_most else "nothing"
    answer = _without_use(case, wire, needs_own=True) or _excess(probe, paths, case, wire)
    return Finding(request=request, expected=expected, got=answer.got or expected, detail=answer.detail, ok=answer.ok)


def _without_use(case: Case, wire: Wire, *, needs_own: bool) -> Answer | None:
    """Why no refusal would say anything: the workload can do nothing at all. None if it can."""
    login = wire.session(case.cloud, case.workload)
    if not login.accepted:
        return Answer(got="no login", ok=False, detail=f"It could not log in (ZT-1): {login.reason}")
    if needs_own and (fault := _own_fault(case, wire)):
        detail = f"It cannot read its own secret either, so a refusal says nothing: {fault}"
        return Answer(got="not usable", ok=False, detail=detail)
    return None


def _operate(probe: SecretProbe, path: str, case: Case, wire: Wire) -> Answer:
    body = render(probe.body, case.facts) or None
    content_type = PATCH_TYPE if probe.operation == "patch" else None
    token = wire.session(case.cloud, case.workload).token
    answer = wire.clients.vault(METHODS[probe.operation], path, token, body, content_type)
    if answer.is_server_error:
        raise UnreachableError(f"Vault fails: {brief(message_of(answer))}")
    if probe.expect == REFUSED:
        through = let_through(answer)
        return Answer(got=ALLOWED if through else REFUSED, ok=not through)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise UnreachableError(f"Nothing is stored at {path}.")
    if answer.is_error:
        return Answer(got=REFUSED, ok=False, detail=brief(message_of(answer)))
    return Answer(got=ALLOWED, ok=True)


def _excess(probe: CapabilitiesProbe, paths: list[str], case: Case, wire: Wire) -> Answer:
    token = wire.session(case.cloud, case.workload).token
    answer = wire.clients.vault("POST", "sys/capabilities-self", token, {"paths": paths})
    if not let_through(answer):
        # A role without the default policy: its right, and what it may do shows by what it does.
        return Answer(got=REFUSED, ok=True, detail="Vault does not tell this token.")
    granted = json_of(answer)
    excess = [f"{', '.join(more)} on {path}" for path in paths if (more := _more(granted.get(path), probe.at_most))]
    return Answer(got="; ".join(excess), ok=not excess)


def _more(granted: object, at_most: list[str]) -> list[str]:
    if not isinstance(granted, list):
        raise UnreachableError("Vault's answer on capabilities cannot be read.")
    return sorted(set(granted) - {"deny", *at_most})


def _own_fault(case: Case, wire: Wire) -> str:
    """Why the workload cannot read its own secret; empty if it can. Asked once a run."""
    return wire.once(("own secret", case.cloud, case.workload.role), lambda: _read_own(case, wire))


def _read_own(case: Case, wire: Wire) -> str:
    token = wire.session(case.cloud, case.workload).token
    answer = wire.clients.vault("GET", f"kv/data/{case.workload.secret(case.cloud)}", token)
    return "" if answer.is_success else brief(message_of(answer)) or f"status {answer.status_code}"


def _who(case: Case) -> str:
    return f"{case.workload.namespace}/{case.workload.account} of {case.cloud}"
