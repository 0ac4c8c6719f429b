"""Probes of identity federation: who gets a Vault token for which service-account token, and for how long."""

from __future__ import annotations

import httpx

from environments.platform import Workload
from environments.probes.cases import Case
from environments.probes.clients import json_of
from environments.probes.facts import render
from environments.probes.kinds.identity import LifetimeProbe, LoginProbe, TokenSpec
from environments.probes.observation import ALLOWED, REFUSED, BrokenError, Finding, UnreachableError
from environments.probes.tokens import account_path, create_account, delete_account, forge, service_account_token
from environments.probes.wire import Login, Wire

REFUSALS = (httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN)
LONGEST = "768h"  # what Vault grants at most if nobody says otherwise


def ask_login(probe: LoginProbe, case: Case, wire: Wire) -> Finding:
    """Log in as the probe says; for a refusal also as it is right."""
    right = wire.right_login(case.cloud, case.workload)
    if probe.expect == ALLOWED:
        return _finding(probe, case, right, ok=right.accepted)
    if not right.accepted:
        detail = f"Its own, right token is refused too, so this refusal says nothing: {right.reason}"
        return _finding(probe, case, right, ok=False, detail=detail)
    login = wire.login(case.cloud, case.workload.role, _jwt(probe, case, wire))
    return _finding(probe, case, login, ok=login.status in REFUSALS)


def ask_lifetime(probe: LifetimeProbe, case: Case, wire: Wire) -> Finding:
    """Log in and renew the token as far as Vault lets it."""
    login = wire.fresh_login(case.cloud, case.workload)
    request = f"{_who(case.workload)} logs in on {case.cloud}, then renews its Vault token for {LONGEST}"
    expected = f"at most {probe.seconds} s in all"
    if not login.accepted:
        return Finding(request=request, expected=expected, got="no login", detail=login.reason, ok=False)
    seconds, periodic = _longest_life(wire, login)
    endless = periodic or seconds == 0
    got = "as long as it is renewed" if endless else f"{seconds} s"
    return Finding(request=request, expected=expected, got=got, ok=not endless and seconds <= probe.seconds)


def _longest_life(wire: Wire, login: Login) -> tuple[int, bool]:
    """Seconds that the token can live, renewed or not (0: for ever), and whether it may be renewed without end."""
    looked_up = json_of(wire.clients.vault("GET", "auth/token/lookup-self", login.token)).get("data") or {}
    renewal = wire.clients.vault("POST", "auth/token/renew-self", login.token, {"increment": LONGEST})
    renewed = (json_of(renewal).get("auth") or {}).get("lease_duration", 0)
    return max(login.seconds, renewed), bool(looked_up.get("period"))


def _jwt(probe: LoginProbe, case: Case, wire: Wire) -> str:
    namespace, account, audience = _holder(probe.token, case)
    if probe.recreate:
        return _recreated(case, wire, audience)
    if probe.token.create and create_account(wire.clients, case.target_cloud, namespace, account):
        wire.clean_up_later(account_path(namespace, account), case.target_cloud)
    try:
        jwt = wire.token(case.target_cloud, namespace, account, audience)
    except BrokenError as error:
        raise UnreachableError(str(error)) from None
    return forge(jwt, probe.token.forged) if probe.token.forged else jwt


def _recreated(case: Case, wire: Wire, audience: str) -> str:
    where = (case.cloud, case.workload.namespace, case.workload.account)
    delete_account(wire.clients, *where)
    create_account(wire.clients, *where)
    return service_account_token(wire.clients, *where, audience)


def _holder(spec: TokenSpec, case: Case) -> tuple[str, str, str]:
    namespace = render(spec.namespace or case.target.namespace, case.facts)
    account = render(spec.account or case.target.account, case.facts)
    return namespace, account, render(spec.audience, case.facts)


def _finding(probe: LoginProbe, case: Case, login: Login, *, ok: bool, detail: str = "") -> Finding:
    got = ALLOWED if login.accepted else REFUSED if login.status in REFUSALS else f"error {login.status}"
    return Finding(request=_request(probe, case), expected=probe.expect, got=got, detail=detail or login.reason, ok=ok)


def _request(probe: LoginProbe, case: Case) -> str:
    namespace, account, audience = _holder(probe.token, case)
    forged = {"rogue-key": "signed by another key, ", "unsigned": "not signed, ", "altered": "changed after signing, "}
    marks = forged.get(probe.token.forged or "", "") + ("account made anew, " if probe.recreate else "")
    shown = f"{marks}{namespace}/{account} of {case.target_cloud}, audience {audience}"
    return f"log in to jwt-{case.cloud} with role {case.workload.role} and a token of {shown}"


def _who(workload: Workload) -> str:
    return f"{workload.namespace}/{workload.account}"
