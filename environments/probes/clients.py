"""One HTTP client for each server of a footprint, shared by all threads that probe it."""

from __future__ import annotations

import ssl
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from environments.access import Access, CloudAccess
from environments.probes.observation import UnreachableError, brief

TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # longer than any webhook may take to answer
LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=8)
TRIES = 4
BUSY = (httpx.codes.TOO_MANY_REQUESTS,)
# Looks like anybody's kubectl: a learner's policy must not be able to tell our requests from others.
KUBE_HEADERS = {"User-Agent": "kubectl/v1.37.2 (linux/amd64)"}


class Clients:
    """HTTP clients for the clouds' API servers and for Vault. Safe to share between threads."""

    def __init__(self, access: Access) -> None:
        self._kube = {name: _kube_client(cloud) for name, cloud in access.clouds.items()}
        context = ssl.create_default_context(cadata=access.vault.ca)
        self._vault = _client(access.vault.address, context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in (*self._kube.values(), self._vault):
            client.close()

    def kube(self, cloud: str, method: str, path: str, body: object = None, **params: str) -> httpx.Response:
        """Ask the API server of `cloud`.

        Raises:
            UnreachableError: no answer, or it does not accept our credentials.
        """
        answer = _ask(self._kube[cloud], f"The API server of {cloud}", method, path, KUBE_HEADERS, body, params)
        if answer.status_code == httpx.codes.UNAUTHORIZED and "ValidatingAdmissionPolicy" not in answer.text:
            raise UnreachableError(f"The API server of {cloud} does not accept our credentials.")
        return answer

    def vault(
        self, method: str, path: str, token: str | None = None, body: object = None, content_type: str | None = None
    ) -> httpx.Response:
        """Ask Vault at `/v1/<path>`, with `token` if given. `content_type` is JSON if not given.

        Raises:
            UnreachableError: no answer, or Vault is sealed.
        """
        headers = {"X-Vault-Token": token} if token else {}
        if content_type:
            headers["Content-Type"] = content_type
        answer = _ask(self._vault, "Vault", method, f"/v1/{path}", headers, body, {})
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise UnreachableError(f"Vault cannot serve: {brief(answer.text)}")
        return answer


def message_of(answer: httpx.Response) -> str:
    """What the server says about it: Kubernetes' `message` or Vault's `errors`, else the raw text. Short."""
    body = json_of(answer)
    errors = body.get("errors") or []
    text = body.get("message") or "; ".join(str(error) for error in errors) or answer.text
    return str(text)[:4000]


def json_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is none."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _ask(
    client: httpx.Client,
    who: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: object,
    params: dict[str, str],
) -> httpx.Response:
    for attempt in range(TRIES):
        last = attempt == TRIES - 1
        try:
            answer = client.request(method, path, headers=headers, json=body, params=params)
        except httpx.TimeoutException:
            raise UnreachableError(f"{who} did not answer in time.") from None
        except httpx.TransportError as error:
            # A kept connection may have been closed by the server just now; a dead server stays dead.
            if last:
                raise UnreachableError(f"{who} cannot be reached: {brief(str(error))}") from None
            continue
        if answer.status_code not in BUSY or last:
            break
        time.sleep(0.1 * 2**attempt)
    if answer.status_code in BUSY:
        raise UnreachableError(f"{who} has too much to do.")
    return answer


def _client(address: str, context: ssl.SSLContext) -> httpx.Client:
    # trust_env off: a proxy or a CA bundle of the user's environment has no business between us and loopback.
    return httpx.Client(base_url=address, verify=context, timeout=TIMEOUT, limits=LIMITS, trust_env=False)


def _kube_client(cloud: CloudAccess) -> httpx.Client:
    context = ssl.create_default_context(cadata=cloud.ca)
    # ssl reads a certificate's key from a file only; the folder is ours alone, and gone at once.
    with tempfile.TemporaryDirectory(prefix="mod209-") as folder:
        pem = Path(folder, "client.pem")
        pem.touch(mode=0o600)
        pem.write_text(f"{cloud.cert.rstrip()}\n{cloud.key}")
        context.load_cert_chain(pem)
    return _client(cloud.server, context)
