"""Probes of push jobs' certificates: how long new ones live, and whether a server that looks at the CRL takes old ones."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Final

import httpx

from environments.baseline.approle import fingerprint
from environments.baseline.pki import pki_mount
from environments.pki import Authority
from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.facts import render
from environments.probes.kinds.rotation import PushCertificateProbe
from environments.probes.observation import ALLOWED, REFUSED, Finding, UnreachableError, brief
from environments.probes.wire import Wire
from environments.rehearsal import Incident, Signed
from environments.scratch import scratch

ROLE: Final = "push"
LEAST_SECONDS: Final = 30  # a certificate that is over before its job has begun is of no use
FLIGHTS: Final = 4  # TLS needs two from each side
REVOKED: Final = 23  # OpenSSL's X509_V_ERR_CERT_REVOKED


def ask_certificate(probe: PushCertificateProbe, case: Case, wire: Wire) -> Finding:
    """Have a certificate issued, or show the ones from before to a server that checks the cloud's CRL."""
    if probe.of == "new":
        return _ask_new(probe, case, wire)
    incident = wire.access.incidents.get(case.cloud)
    if incident is None:
        raise UnreachableError("This footprint knows of no incident.")
    return _ask_old(probe, case, wire, incident)


def _ask_new(probe: PushCertificateProbe, case: Case, wire: Wire) -> Finding:
    body = {"common_name": f"push.registry.{case.cloud}.mod209.example", **render(probe.body, case.facts)}
    asked = ", ".join(f"{key} {value}" for key, value in body.items())
    request = f"{pki_mount(case.cloud)}/issue/{ROLE} for {asked}"
    expected = ALLOWED if probe.expect == ALLOWED else f"at most {probe.seconds} s"
    answer = wire.clients.vault("POST", f"{pki_mount(case.cloud)}/issue/{ROLE}", wire.access.vault.token, body)
    if answer.is_server_error:
        raise UnreachableError(f"Vault fails: {brief(message_of(answer))}")
    if answer.is_error:
        return Finding(request=request, expected=expected, got=REFUSED, detail=brief(message_of(answer)), ok=False)
    seconds = round(json_of(answer)["data"]["expiration"] - time.time())
    ok = LEAST_SECONDS <= seconds <= probe.seconds
    got = expected if ok else f"{seconds} s"
    return Finding(request=request, expected=expected, got=got, detail=f"It lives for {seconds} s.", ok=ok)


def _ask_old(probe: PushCertificateProbe, case: Case, wire: Wire, incident: Incident) -> Finding:
    gate = wire.once(("gate", case.cloud), lambda: Gate(_pem(case, wire, "ca/pem"), _pem(case, wire, "crl/pem")))
    leaked = [one for one in incident.certificates if fingerprint(one.cert) == incident.fingerprint]
    others = [one for one in incident.certificates if one not in leaked]
    chosen = leaked if probe.of == "leaked" else others
    seen = [gate.handshake(one) for one in chosen]
    wrong = [REFUSED if refused else ALLOWED for refused in seen if bool(refused) != (probe.expect == REFUSED)]
    request = (
        f"TLS to a server of {case.cloud} that checks its CRL, with {probe.of} certificate{'s' * (len(chosen) > 1)}"
    )
    got = wrong[0] if wrong else probe.expect
    return Finding(request=request, expected=probe.expect, got=got, detail="; ".join(filter(None, seen)), ok=not wrong)


class Gate:
    """A TLS server that trusts `root` and refuses what its `crl` names (both PEM). Nothing but memory is between it and clients."""

    def __init__(self, root: str, crl: str) -> None:
        self._authority = Authority("mod209 handshake")
        pair = self._authority.server("registry")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        self._context.load_verify_locations(cadata=root)
        with scratch("handshake") as folder:
            crl_file = folder / "crl.pem"
            crl_file.write_text(crl)
            self._context.load_verify_locations(cafile=str(crl_file))  # ssl takes a CRL from a file only
            _show(self._context, Signed(cert=pair.cert, key=pair.key), folder)

    def handshake(self, client: Signed) -> str:
        """Let a client in; returns why it is refused, or nothing.

        Raises:
            UnreachableError: it is refused for something else than that it is revoked.
        """
        near, far = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self._context.wrap_bio(near, far, server_side=True)
        visitor = self._visitor(client).wrap_bio(far, near, server_hostname="localhost")
        try:
            for _ in range(FLIGHTS):
                _go_on(visitor)
                if _go_on(server):  # it has looked at the certificate
                    return ""
        except ssl.SSLCertVerificationError as error:
            if error.verify_code == REVOKED:
                return "certificate revoked"
            raise UnreachableError(f"The handshake ends otherwise: {error.verify_message}.") from None
        raise UnreachableError("The handshake does not come to its end.")

    def _visitor(self, client: Signed) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._authority.cert)
        with scratch("handshake") as folder:
            _show(context, client, folder)
        return context


def _go_on(side: ssl.SSLObject) -> bool:
    """Whether this side of the handshake is done."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _show(context: ssl.SSLContext, signed: Signed, folder: Path) -> None:
    pem = folder / "shown.pem"
    pem.touch(mode=0o600)
    pem.write_text(signed.cert + signed.key)
    context.load_cert_chain(pem)


def _pem(case: Case, wire: Wire, what: str) -> str:
    """What anybody may fetch from the cloud's PKI engine."""
    answer = wire.clients.vault("GET", f"{pki_mount(case.cloud)}/{what}")
    if answer.status_code != httpx.codes.OK:
        raise UnreachableError(f"Vault serves no {what} of {case.cloud}.")
    return answer.text
