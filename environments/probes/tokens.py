"""Service-account tokens: asked of a cloud, or forged. Forged ones show that signatures are checked, no more."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any, Final, Literal

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from environments.probes.clients import Clients, json_of, message_of
from environments.probes.observation import BrokenError, UnreachableError, brief

Forgery = Literal["rogue-key", "unsigned", "altered"]
SECONDS: Final = 600  # the shortest life that Kubernetes grants a token
P256_BYTES: Final = 32


def service_account_token(clients: Clients, cloud: str, namespace: str, account: str, audience: str) -> str:
    """A token of an account for one audience, by the TokenRequest API.

    Raises:
        BrokenError: the account does not exist.
        UnreachableError: the API server gives us none.
    """
    spec = {"audiences": [audience], "expirationSeconds": SECONDS}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = clients.kube(cloud, "POST", f"{account_path(namespace, account)}/token", body)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise BrokenError(f"{cloud} has no service account {account} in {namespace}.")
    token = json_of(answer).get("status", {}).get("token")
    if answer.is_error or not isinstance(token, str):
        raise UnreachableError(f"{cloud} gives no token of {namespace}/{account}: {brief(message_of(answer))}")
    return token


def create_account(clients: Clients, cloud: str, namespace: str, account: str) -> bool:
    """Make a service account; false if it was there already.

    Raises:
        UnreachableError: the API server does not make it.
    """
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}}
    answer = clients.kube(cloud, "POST", account_path(namespace), body)
    if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
        raise UnreachableError(f"{cloud} makes no service account {namespace}/{account}: {brief(message_of(answer))}")
    return answer.is_success


def delete_account(clients: Clients, cloud: str, namespace: str, account: str) -> None:
    """Delete a service account, if it is there.

    Raises:
        UnreachableError: the API server does not delete it.
    """
    answer = clients.kube(cloud, "DELETE", account_path(namespace, account))
    if answer.is_error and answer.status_code != httpx.codes.NOT_FOUND:
        raise UnreachableError(f"{cloud} keeps the service account {namespace}/{account}: {brief(message_of(answer))}")


def account_path(namespace: str, account: str = "") -> str:
    """Where the API server keeps a namespace's accounts, or one of them."""
    return f"/api/v1/namespaces/{namespace}/serviceaccounts{'/' if account else ''}{account}"


def forge(jwt: str, forgery: Forgery) -> str:
    """`jwt` with the same claims and key id, but a signature that is another key's, absent, or of other claims."""
    header, claims, signature = jwt.split(".")
    if forgery == "altered":
        return f"{header}.{_pack({**_unpack(claims), 'iat': _unpack(claims)['iat'] - 1})}.{signature}"
    if forgery == "unsigned":
        return f"{_pack({**_unpack(header), 'alg': 'none'})}.{claims}."
    signed = f"{_pack({**_unpack(header), 'alg': 'ES256'})}.{claims}"
    r, s = decode_dss_signature(_rogue_key().sign(signed.encode(), ec.ECDSA(SHA256())))
    return f"{signed}.{_base64(r.to_bytes(P256_BYTES, 'big') + s.to_bytes(P256_BYTES, 'big'))}"


@cache
def _rogue_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pack(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpack(part: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return loaded
