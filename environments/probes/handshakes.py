"""Probes of mutual TLS: who is let in where, by real handshakes with a process that obeys a namespace's `mtls-peers`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx

from environments.platform import PEERS_CONFIGMAP, Workload, platform
from environments.probes.cases import Case
from environments.probes.certificates import own_certificate, self_signed
from environments.probes.clients import json_of, message_of
from environments.probes.endpoint import (
    ACCEPTED,
    BY_CALLER,
    BY_TLS,
    Credentials,
    Endpoints,
    Listener,
    call,
    context_of,
)
from environments.probes.kinds.traffic import HandshakeProbe
from environments.probes.observation import ALLOWED, REFUSED, BrokenError, Finding, UnreachableError, brief
from environments.probes.wire import Wire

THREADS: Final = 4
MOST_BYTES: Final = 1 << 16  # of a ConfigMap; a bundle of one root is a hundredth of that


def ask_handshake(probe: HandshakeProbe, case: Case, wire: Wire) -> Finding:
    """Call the workload as the probe says; a refusal counts only if its right callers are let in."""
    request = f"{_caller(probe, case)} calls {case.workload.name} of {_server_cloud(probe, case)}"
    if probe.expect == REFUSED and (fault := wire.once(_twin_key(case), lambda: _twin_fault(case, wire))):
        detail = f"A right caller is not let in either, so a refusal says nothing: {fault}"
        return Finding(request=request, expected=REFUSED, got="not usable", detail=brief(detail), ok=False)
    got = _call(probe, case, wire)
    if probe.expect == ALLOWED:
        decision = ALLOWED if got == ACCEPTED else REFUSED
        return Finding(request=request, expected=ALLOWED, got=decision, detail=_said(got), ok=got == ACCEPTED)
    right = got in _right_refusals(probe)
    decision = ALLOWED if got == ACCEPTED else REFUSED if right else got
    detail = "" if right else f"It was {got}; its certificate should not have been believed at all."
    return Finding(request=request, expected=REFUSED, got=decision, detail=detail, ok=right)


def _right_refusals(probe: HandshakeProbe) -> tuple[str, ...]:
    """Another identity of the cloud is known, and not wanted; what the cloud's root did not sign is not even known."""
    if probe.server == "elsewhere":
        return (BY_CALLER,)
    return (BY_TLS,) if probe.client in ("elsewhere", "self-signed", "nobody") else ("refused by name",)


def _call(probe: HandshakeProbe, case: Case, wire: Wire) -> str:
    caller, peers = _credentials(probe, case, wire), _endpoints(wire)
    where = (_server_cloud(probe, case), case.workload.role)
    if where not in peers:
        raise BrokenError(peers_fault(*where, wire))
    try:
        return call(peers[where], caller, case.workload.identity(case.cloud))
    except ValueError as error:
        raise BrokenError(
            f"{case.target.namespace}/{PEERS_CONFIGMAP} of {case.target_cloud}: ca.pem is {error}."
        ) from None
    except OSError as error:
        raise UnreachableError(f"The endpoint does not answer: {type(error).__name__}.") from None


def _credentials(probe: HandshakeProbe, case: Case, wire: Wire) -> Credentials:
    """What the caller holds. Whoever has no right certificate trusts the right root all the same."""
    trust = _peers(case.cloud, case.target.namespace, wire).get("ca.pem", "")
    if probe.client == "nobody":
        return Credentials(cert="", key="", ca=trust)
    if probe.client == "self-signed":
        pair = wire.once(
            ("self-signed", case.cloud, case.target.role), lambda: self_signed(case.target.identity(case.cloud))
        )
        return Credentials(cert=pair.cert, key=pair.key, ca=trust)
    own = own_certificate(case.target_cloud, case.target, wire)
    if not own.cert:
        raise BrokenError(f"{case.target.name} of {case.target_cloud} has no certificate: {own.reason}")
    return Credentials(cert=own.cert, key=own.key, ca=trust)


def _twin_key(case: Case) -> tuple[str, str, str]:
    return ("handshake", case.cloud, case.workload.role)


def _twin_fault(case: Case, wire: Wire) -> str:
    """Why not one right caller is let in by the workload; empty if one is, or if nobody may call it and it stands."""
    fault = peers_fault(case.cloud, case.workload.role, wire)
    callers = platform().callers(case.workload)
    if fault or not callers:
        return fault
    return _first_fault(case, callers, wire)


def _first_fault(case: Case, callers: list[Workload], wire: Wire) -> str:
    port, fault = _endpoints(wire)[(case.cloud, case.workload.role)], ""
    for caller in callers:
        own = own_certificate(case.cloud, caller, wire)
        trust = _peers(case.cloud, caller.namespace, wire).get("ca.pem", "")
        try:
            held = Credentials(cert=own.cert, key=own.key, ca=trust)
            got = call(port, held, case.workload.identity(case.cloud))
        except (ValueError, OSError) as error:
            got = str(error)
        if got == ACCEPTED:
            return ""
        fault = f"{caller.name} is {got}. {own.reason}"
    return fault


def peers_fault(cloud: str, role: str, wire: Wire) -> str:
    """Why a workload has no endpoint; empty if it has one."""
    return "" if (cloud, role) in _endpoints(wire) else _listener_fault(cloud, _workload(role), wire)


def _endpoints(wire: Wire) -> Mapping[tuple[str, str], int]:
    """The ports of all endpoints, in one process that is started once a run."""
    return wire.once("endpoints", lambda: _start(wire))


def _start(wire: Wire) -> Mapping[tuple[str, str], int]:
    places = [(cloud, workload) for cloud in wire.access.clouds for workload in platform().workloads]
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(lambda place: _listener_or_none(place[0], place[1], wire), places))
    listeners = {f"{cloud} {one.role}": made for (cloud, one), made in zip(places, made, strict=True) if made}
    try:
        endpoints = Endpoints(listeners)
    except OSError as error:
        raise UnreachableError(f"The endpoints do not start: {type(error).__name__}.") from None
    wire.at_end(endpoints.close)
    return {(name.split()[0], name.split()[1]): port for name, port in endpoints.ports.items()}


def _listener_or_none(cloud: str, workload: Workload, wire: Wire) -> Listener | None:
    if _listener_fault(cloud, workload, wire):
        return None
    own, peers = own_certificate(cloud, workload, wire), _peers(cloud, workload.namespace, wire)
    allow = tuple(line.strip() for line in peers.get("allow", "").splitlines() if line.strip())
    return Listener(credentials=Credentials(cert=own.cert, key=own.key, ca=peers["ca.pem"]), allow=allow)


def _listener_fault(cloud: str, workload: Workload, wire: Wire) -> str:
    """Why an endpoint cannot be made of what the platform holds; empty if it can."""
    try:
        own = own_certificate(cloud, workload, wire)
        peers = _peers(cloud, workload.namespace, wire)
    except BrokenError as error:
        return str(error)
    if not own.cert:
        return f"{workload.name} of {cloud} has no certificate: {own.reason}"
    try:
        context_of(Credentials(cert=own.cert, key=own.key, ca=peers.get("ca.pem", "")), serves=True)
    except ValueError as error:
        return f"{workload.namespace}/{PEERS_CONFIGMAP} of {cloud}: ca.pem is {error}."
    return ""


def _peers(cloud: str, namespace: str, wire: Wire) -> dict[str, str]:
    """The data of a namespace's `mtls-peers`."""
    return wire.once(("peers", cloud, namespace), lambda: _read_peers(cloud, namespace, wire))


def _read_peers(cloud: str, namespace: str, wire: Wire) -> dict[str, str]:
    answer = wire.clients.kube(cloud, "GET", f"/api/v1/namespaces/{namespace}/configmaps/{PEERS_CONFIGMAP}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise BrokenError(f"There is no ConfigMap {PEERS_CONFIGMAP} in {namespace} on {cloud}.")
    if answer.is_error:
        raise UnreachableError(f"{PEERS_CONFIGMAP} of {namespace} cannot be read: {brief(message_of(answer))}")
    if len(answer.content) > MOST_BYTES:
        raise BrokenError(f"The ConfigMap {PEERS_CONFIGMAP} in {namespace} on {cloud} is far too large.")
    data: dict[str, Any] = json_of(answer).get("data") or {}
    return {key: str(value) for key, value in data.items()}


def _workload(role: str) -> Workload:
    return next(workload for workload in platform().workloads if workload.role == role)


def _server_cloud(probe: HandshakeProbe, case: Case) -> str:
    return case.facts["other_cloud"] if probe.server == "elsewhere" else case.cloud


def _caller(probe: HandshakeProbe, case: Case) -> str:
    held = {"self-signed": " with a certificate that it signed itself", "nobody": " without a certificate"}
    return f"{case.target.name} of {case.target_cloud}{held.get(probe.client, '')}"


def _said(got: str) -> str:
    return "" if got == ACCEPTED else f"It was {got}."
