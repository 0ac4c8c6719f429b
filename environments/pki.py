"""Certificates of a footprint: small CAs that live as long as it does."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=7)  # longer than any footprint runs, short enough not to matter when a key leaks
CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    cert: str
    key: str


class Authority:
    """A certificate authority with a P-256 key, kept in memory only."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(self._identifier, critical=False)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        self.cert = _pem(builder.sign(self._key, hashes.SHA256()))

    @property
    def bundle(self) -> str:
        """Certificate and private key in one PEM, for who signs on from here."""
        return self.cert + private_pem(self._key)

    @property
    def pair(self) -> Pair:
        """Certificate and private key, for a program that signs with them too."""
        return Pair(self.cert, private_pem(self._key))

    def server(self, name: str) -> Pair:
        """A certificate for a server on this machine's loopback."""
        names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
        return self._issue(name, (), (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH), names)

    def service(self, name: str, namespace: str) -> Pair:
        """A certificate for what is behind a Service of a cluster."""
        whole = f"{name}.{namespace}.svc"
        return self._issue(whole, (), (ExtendedKeyUsageOID.SERVER_AUTH,), [x509.DNSName(whole)])

    def client(self, name: str, *groups: str) -> Pair:
        """A client certificate; Kubernetes reads the user from `name` and its groups from `groups`."""
        return self._issue(name, groups, (ExtendedKeyUsageOID.CLIENT_AUTH,), [])

    def _issue(
        self,
        name: str,
        groups: tuple[str, ...],
        purposes: tuple[x509.ObjectIdentifier, ...],
        names: list[x509.GeneralName],
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Pair(_pem(builder.sign(self._key, hashes.SHA256())), private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """An unencrypted PEM of a private key, as the servers want it."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def signing_key() -> tuple[str, str]:
    """A new P-256 key for service-account tokens: private and public PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private_pem(key), key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + LIFETIME)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()
