"""Probes of certificates: what a logged-in workload is given by Vault's PKI, and what names are in it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final, TypeVar

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from environments.pki import Pair, private_pem
from environments.platform import Workload
from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.facts import render
from environments.probes.kinds.traffic import CertificateProbe
from environments.probes.observation import ALLOWED, REFUSED, BrokenError, Finding, UnreachableError, brief
from environments.probes.wire import Wire, let_through

Extension = TypeVar("Extension", bound=x509.ExtensionType)
BOTH_ENDS: Final = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
LIFE: Final = dt.timedelta(minutes=10)
QUICK_KEYS: Final = ("ec", "ed25519", "any")  # making an RSA key of 8192 bits takes Vault most of a minute


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What Vault answered: a certificate with its key (empty where the key never left us) and names, or why there is none."""

    cert: str = ""
    key: str = field(default="", repr=False)
    ca: str = ""
    names: tuple[str, ...] = ()
    reason: str = ""


def ask_certificate(probe: CertificateProbe, case: Case, wire: Wire) -> Finding:
    """Ask for a certificate as the workload; a refusal counts only if it is given its own."""
    path = render(probe.path, case.facts)
    own = own_certificate(case.cloud, case.workload, wire)
    request = f"{case.workload.name} of {case.cloud}: {path} {_shown(probe, case)}"
    if probe.expect == ALLOWED:
        return _finding(probe, request, _fault(own, case), own)
    if _fault(own, case):
        detail = f"Its own certificate is not as it must be, so a refusal says nothing: {_fault(own, case)}"
        return Finding(request=request, expected=REFUSED, got="not usable", detail=detail, ok=False)
    answer = _asked(probe, path, case, wire)
    others = [name for name in answer.names if name != case.workload.identity(case.cloud)]
    got = ALLOWED if others else REFUSED
    detail = f"It was given: {', '.join(others)}" if others else answer.reason
    return Finding(request=request, expected=REFUSED, got=got, detail=brief(detail), ok=not others)


def own_certificate(cloud: str, workload: Workload, wire: Wire) -> Answer:
    """The workload's own certificate as Vault gives it, asked for once a run: issued, or signed where it may only do that."""
    return wire.once(("certificate", cloud, workload.role), lambda: _own(cloud, workload, wire))


def self_signed(identity: str) -> Pair:
    """A certificate for clients and servers that names `identity`, signed by nobody but itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "workload")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - LIFE).not_valid_after(now + LIFE)
    builder = builder.add_extension(x509.ExtendedKeyUsage(list(BOTH_ENDS)), critical=False)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
    cert = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    return Pair(cert.public_bytes(serialization.Encoding.PEM).decode(), private_pem(key))


def _finding(probe: CertificateProbe, request: str, fault: str, own: Answer) -> Finding:
    return Finding(
        request=request,
        expected=probe.expect,
        got=ALLOWED if not fault else REFUSED if not own.cert else "not as it must be",
        detail=fault,
        ok=not fault,
    )


def _fault(own: Answer, case: Case) -> str:
    """What is wrong with a workload's own certificate; empty if nothing is."""
    if not own.cert:
        return own.reason
    wanted = case.workload.identity(case.cloud)
    if own.names != (wanted,):
        return brief(f"It names {', '.join(own.names) or 'nobody'}, not {wanted} alone.")
    cert = x509.load_pem_x509_certificate(own.cert.encode())
    if not isinstance(cert.public_key(), ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return "Its key is not an elliptic curve's."
    return "" if _uses(cert) == BOTH_ENDS else "It is not for clients and servers, and nothing else."


def _own(cloud: str, workload: Workload, wire: Wire) -> Answer:
    login = wire.session(cloud, workload)
    if not login.accepted:
        return Answer(reason=f"It could not log in (ZT-1): {login.reason}")
    _insist_on_quick_keys(cloud, workload, wire)
    body: dict[str, object] = {"uri_sans": workload.identity(cloud)}
    engine = f"pki-{cloud}"
    answer = wire.clients.vault("POST", f"{engine}/issue/{workload.role}", login.token, body)
    if let_through(answer):
        return _read(answer)
    key = ec.generate_private_key(ec.SECP256R1())
    body["csr"] = _request_for(key, workload.identity(cloud))
    return _read(wire.clients.vault("POST", f"{engine}/sign/{workload.role}", login.token, body), private_pem(key))


def _insist_on_quick_keys(cloud: str, workload: Workload, wire: Wire) -> None:
    answer = wire.clients.vault("GET", f"pki-{cloud}/roles/{workload.role}", wire.access.vault.token)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise BrokenError(f"There is no role {workload.role} in pki-{cloud}.")
    kind = (json_of(answer).get("data") or {}).get("key_type", "ec")
    if kind not in QUICK_KEYS:
        raise BrokenError(f"The role {workload.role} of pki-{cloud} is for keys of type {kind}, not ec.")


def _asked(probe: CertificateProbe, path: str, case: Case, wire: Wire) -> Answer:
    body = render(probe.body, case.facts)
    if probe.csr:
        body["csr"] = _request_for(ec.generate_private_key(ec.SECP256R1()), render(probe.csr, case.facts))
    return _read(wire.clients.vault("POST", path, wire.session(case.cloud, case.workload).token, body))


def _read(answer: httpx.Response, key: str = "") -> Answer:
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        # Vault says 500 where a request does not fit a role's rules for names, too.
        return _refusal_or_fault(answer)
    data = json_of(answer).get("data") or {}
    pem = data.get("certificate")
    if not isinstance(pem, str):
        return Answer(reason=brief(message_of(answer)) or "no certificate")
    try:
        names = tuple(names_in(x509.load_pem_x509_certificate(pem.encode())))
    except ValueError:
        raise UnreachableError("Vault's certificate cannot be read.") from None
    return Answer(
        cert=pem, key=key or str(data.get("private_key", "")), ca=str(data.get("issuing_ca", "")), names=names
    )


def _refusal_or_fault(answer: httpx.Response) -> Answer:
    if not json_of(answer).get("errors"):
        raise UnreachableError(f"Vault fails: {brief(message_of(answer))}")
    return Answer(reason=brief(message_of(answer)))


def names_in(cert: x509.Certificate) -> list[str]:
    """Every name that somebody could take a certificate's holder for, and `a CA` if it may sign others."""
    names = [str(part.value) for part in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if found := _extension(cert, x509.SubjectAlternativeName):
        names += [str(name.value) for name in found]
    basic = _extension(cert, x509.BasicConstraints)
    return [*names, "a CA"] if basic and basic.ca else names


def _uses(cert: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(_extension(cert, x509.ExtendedKeyUsage) or ())


def _extension(cert: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return cert.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _request_for(key: ec.EllipticCurvePrivateKey, identity: str) -> str:
    """A signing request (PEM) for a certificate that names `identity`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
    request = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _shown(probe: CertificateProbe, case: Case) -> str:
    body = {**render(probe.body, case.facts)} | ({"csr for": render(probe.csr, case.facts)} if probe.csr else {})
    return ", ".join(f"{key}={value}" for key, value in body.items())
