"""One HTTP client for each server of a footprint, shared by all threads that probe it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from environments.access import Access, CloudAccess, Identity, WaysAccess
from environments.probes.observation import UnreachableError, brief
from environments.scratch import scratch

TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # longer than any webhook may take to answer
LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=8)
TRIES = 4
MOST_SILENT = 12
# Looks like anybody's kubectl: a learner's policy must not be able to tell our requests from others.
HEADERS = {"User-Agent": "kubectl/v1.37.2 (linux/amd64)"}
CREDENTIAL_HEADER = "Impersonate-Extra-authentication.kubernetes.io%2Fcredential-id"


class Server:
    """One server and the HTTP client for it. One that fails to answer a few times is given up for the rest of the run."""

    def __init__(self, name: str, address: str, context: ssl.SSLContext) -> None:
        self._name = name
        self._silent = 0
        # trust_env off: a proxy or a CA bundle of the user's environment has no business between us and loopback.
        self._client = httpx.Client(
            base_url=address, verify=context, timeout=TIMEOUT, limits=LIMITS, headers=HEADERS, trust_env=False
        )

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Sequence[tuple[str, str]] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request, again where the server is busy or has just closed the connection.

        Raises:
            UnreachableError: no answer.
        """
        for attempt in range(TRIES):
            answer = self._try(method, path, json=body, headers=headers, params=params)
            if answer and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return answer
            time.sleep(0.05 * 2**attempt)
        raise UnreachableError(f"{self._name} does not answer.")

    def _try(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        if self._silent >= MOST_SILENT:
            raise UnreachableError(f"{self._name} does not answer.")
        try:
            return self._client.request(method, path, **request)
        except httpx.TimeoutException:
            self._silent += 1
            raise UnreachableError(f"{self._name} did not answer in time.") from None
        except httpx.TransportError:
            self._silent += 1
            return None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class Clients:
    """The clouds' API servers and Vault. Safe to share between threads."""

    def __init__(self, access: Access) -> None:
        self._kube = {
            name: Server(f"The API server of {name}", cloud.server, client_context(cloud))
            for name, cloud in access.clouds.items()
        }
        self._people = {name: cloud.people[0] for name, cloud in access.clouds.items() if cloud.people}
        self._vault = Server("Vault", access.vault.address, ssl.create_default_context(cadata=access.vault.ca))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (*self._kube.values(), self._vault):
            server.close()

    def kube(
        self,
        cloud: str,
        method: str,
        path: str,
        body: object = None,
        who: Identity | None = None,
        **params: str,
    ) -> httpx.Response:
        """Ask the API server of `cloud` as `who`; if nobody is named, as the operator where that is possible.

        Raises:
            UnreachableError: no answer, or it does not accept our credentials.
        """
        who = who or self._people.get(cloud)
        answer = self._kube[cloud].ask(method, path, body, _as(who) if who else None, params)
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
        headers = [("X-Vault-Token", token)] if token else []
        if content_type:
            headers.append(("Content-Type", content_type))
        answer = self._vault.ask(method, f"/v1/{path}", body, headers)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise UnreachableError(f"Vault cannot serve: {brief(answer.text)}")
        return answer


def _as(who: Identity) -> list[tuple[str, str]]:
    """The headers that make the API server take a request for somebody else's."""
    headers = [("Impersonate-User", who.user), *(("Impersonate-Group", group) for group in who.groups)]
    headers += [("Impersonate-Uid", who.uid)] if who.uid else []
    return [*headers, (CREDENTIAL_HEADER, who.credential)] if who.credential else headers


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


def client_context(cloud: CloudAccess | WaysAccess) -> ssl.SSLContext:
    """How to show who we are, and know whom we ask."""
    context = ssl.create_default_context(cadata=cloud.ca)
    # ssl reads a certificate's key from a file only; the folder is ours alone, and gone at once.
    with scratch("client") as folder:
        pem = folder / "client.pem"
        pem.touch(mode=0o600)
        pem.write_text(f"{cloud.cert.rstrip()}\n{cloud.key}")
        context.load_cert_chain(pem)
    return context
