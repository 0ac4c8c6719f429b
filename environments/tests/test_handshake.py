"""The TLS endpoint of the probes: real processes, real handshakes, and every wrong certificate that there is."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from environments.pki import private_pem
from environments.probes.certificates import self_signed
from environments.probes.endpoint import (
    ACCEPTED,
    BY_CALLER,
    BY_NAME,
    BY_TLS,
    Credentials,
    Endpoints,
    Listener,
    handshake,
)

SERVER, CLIENT = "spiffe://aws.mod209.example/ns/a/sa/server", "spiffe://aws.mod209.example/ns/a/sa/client"
CLIENTS, SERVERS = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
HOUR = dt.timedelta(hours=1)


class Root:
    """A root that signs whatever a test wants."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(self.name, self.name, self.key.public_key(), 1, now - HOUR, now + HOUR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        *identities: str,
        uses: tuple[x509.ObjectIdentifier, ...] = (CLIENTS, SERVERS),
        until: dt.timedelta = HOUR,
        serial: int = 7,
    ) -> Credentials:
        """A certificate of those identities, held by somebody who trusts this root."""
        key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            self.name, x509.Name([]), key.public_key(), serial, now - 2 * HOUR, now + until
        )
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(one) for one in identities])
        builder = builder.add_extension(names, critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
        cert = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        return Credentials(cert=cert, key=private_pem(key), ca=self.pem)

    def revoke(self, serial: int) -> str:
        """A list (PEM) that revokes one certificate."""
        now = dt.datetime.now(dt.UTC)
        gone = x509.RevokedCertificateBuilder(serial, now - HOUR).build()
        builder = x509.CertificateRevocationListBuilder(self.name, now - HOUR, now + HOUR, revoked_certificates=[gone])
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def root() -> Root:
    """The root that both sides trust."""
    return Root()


@pytest.fixture(scope="module")
def server(root: Root) -> Credentials:
    """The right server."""
    return root.issue(SERVER)


def test_the_right_caller_is_let_in(root: Root, server: Credentials) -> None:
    assert handshake(server, root.issue(CLIENT), (CLIENT,), SERVER) == ACCEPTED


def test_callers_that_are_known_and_not_wanted(root: Root, server: Credentials) -> None:
    for names in ((SERVER,), (CLIENT + "-2",), (CLIENT, SERVER), ("spiffe://gcp.mod209.example/ns/a/sa/client",)):
        assert handshake(server, root.issue(*names), (CLIENT,), SERVER) == BY_NAME


def test_callers_whose_certificate_is_not_believed(root: Root, server: Credentials) -> None:
    own = self_signed(CLIENT)
    wrong = {
        "another root": replace(Root().issue(CLIENT), ca=root.pem),
        "self-signed": Credentials(cert=own.cert, key=own.key, ca=root.pem),
        "expired": root.issue(CLIENT, until=-HOUR),
        "for servers alone": root.issue(CLIENT, uses=(SERVERS,)),
        "none": Credentials(cert="", key="", ca=root.pem),
    }
    assert {name: handshake(server, held, (CLIENT,), SERVER) for name, held in wrong.items()} == dict.fromkeys(
        wrong, BY_TLS
    )


def test_a_caller_refuses_a_server_that_it_did_not_want(root: Root) -> None:
    client = root.issue(CLIENT)
    wrong = (root.issue(CLIENT), root.issue(SERVER, CLIENT), root.issue(SERVER, uses=(CLIENTS,)))
    others = replace(Root().issue(SERVER), ca=root.pem)
    for held in (*wrong, others):
        assert handshake(held, client, (CLIENT,), SERVER) == BY_CALLER


def test_a_revoked_certificate_is_refused_by_whoever_has_the_list(root: Root, server: Credentials) -> None:
    informed = replace(server, crl=root.revoke(9))
    assert handshake(informed, root.issue(CLIENT, serial=9), (CLIENT,), SERVER) == BY_TLS
    assert handshake(informed, root.issue(CLIENT, serial=8), (CLIENT,), SERVER) == ACCEPTED
    assert handshake(server, root.issue(CLIENT, serial=9), (CLIENT,), SERVER) == ACCEPTED


@pytest.mark.parametrize("bundle", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_that_is_none_is_said_to_be_none(bundle: str, root: Root, server: Credentials) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        handshake(server, replace(root.issue(CLIENT), ca=bundle), (CLIENT,), SERVER)
    with pytest.raises(OSError, match="credentials"):
        Endpoints({"server": Listener(credentials=replace(server, ca=bundle), allow=(CLIENT,))})
