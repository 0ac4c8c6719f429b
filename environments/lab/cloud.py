"""One cloud as a learner's notebook sees it: its facts, its service accounts and their tokens."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx

from environments.access import CloudAccess
from environments.errors import BadInputError, FootprintError
from environments.lab.credentials import PemFolder, client, tls
from environments.lab.engines import await_force, await_kind
from environments.lab.kinds import Kinds
from environments.params import CloudParams
from environments.rights import REVIEWS, ask_of, persona, review

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FIELD_MANAGER = "mod209-operator"
TOKEN_SECONDS = 600  # the shortest life that Kubernetes gives a service-account token


class Cloud:
    """One of the clouds.

    Attributes:
        name: `aws`, `azure` or `gcp`.
        region: where its control plane stands.
        regions: all regions it has.
        health_regions: the regions where health data may be processed.
        registry: host name of its image registry.
        issuer: URL of its OIDC issuer, the `iss` of its service-account tokens.
        ca: PEM of the CA that signed the certificate of its issuer and API server.
    """

    def __init__(self, name: str, access: CloudAccess, params: CloudParams, audience: str, owner: ExitStack) -> None:
        self.name = name
        self.region = params.region
        self.regions = list(params.regions)
        self.health_regions = list(params.health_regions)
        self.registry = params.registry
        self.issuer = access.issuer
        self.ca = access.ca
        self._access = access
        self._audience = audience
        self._owner = owner
        self._pems = PemFolder(owner)

    def __repr__(self) -> str:
        return f"<Cloud {self.name}: region {self.region}, registry {self.registry}>"

    @cached_property
    def http(self) -> httpx.Client:
        """A client of the API server with the operator's certificate; paths are relative, like `/api/v1/pods`."""
        return self._owner.enter_context(client(self._access.server, tls(self.ca, *self._client_files())))

    @cached_property
    def kube(self) -> ApiClient:
        """The official Kubernetes client, for `kubernetes.client.CoreV1Api(cloud.kube)` and its kin."""
        from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415 - only who uses it pays for it

        configuration = Configuration(host=self._access.server)
        cert, key = self._client_files()
        configuration.cert_file, configuration.key_file = str(cert), str(key)
        configuration.ssl_ca_cert = str(self._pems.file("ca.pem", self.ca))
        made = ApiClient(configuration)
        self._owner.callback(made.close)
        return made

    def discovery(self) -> dict[str, Any]:
        """What the cloud's issuer publishes for everybody to read: its OpenID Connect discovery document.

        Raises:
            FootprintError: the cloud does not answer.
        """
        return self._public("/.well-known/openid-configuration")

    def public_keys(self) -> list[dict[str, str]]:
        """The public keys of the cloud's issuer, as JSON Web Keys.

        Raises:
            FootprintError: the cloud does not answer.
        """
        keys: list[dict[str, str]] = self._public("/openid/v1/jwks")["keys"]
        return keys

    @cached_property
    def kinds(self) -> Kinds:
        """Where the API server keeps what."""
        return Kinds(self.name, lambda path: self.request("GET", path, "discovery"))

    def dry_run(self, body: dict[str, Any]) -> str:
        """Whether admission would let the object in: `admitted`, or `refused: …` with its reason. Nothing is stored.

        Raises:
            BadInputError: the cloud has no such kind, or the object needs a namespace and names none.
            FootprintError: the cloud does not answer.
        """
        path, what = self.kinds.collection(body), f"{body['kind']} {body['metadata'].get('name')}"
        try:
            self.request("POST", path, what, params={"dryRun": "All"}, json=body)
        except BadInputError as refusal:
            return f"refused: {refusal.message}"
        return "admitted"

    def apply(self, body: dict[str, Any]) -> None:
        """Create the object on this cloud, or bring it in line with `body` (server-side apply).

        A policy of an engine beside OPA is in force when this returns.

        Raises:
            BadInputError: the cloud has no such kind, the namespace is missing, or it or the engine refuses the object.
            FootprintError: the cloud does not answer.
        """
        name = body["metadata"]["name"]
        path, headers = f"{await_kind(self, body)}/{name}", {"Content-Type": "application/apply-patch+yaml"}
        options = {"fieldManager": FIELD_MANAGER, "force": "true"}
        text = json.dumps(body)  # JSON is YAML
        self.request("PATCH", path, f"{body['kind']} {name}", params=options, headers=headers, content=text)
        await_force(self, path, body)

    def can(self, who: str, verb: str, resource: str, namespace: str = "", name: str = "") -> bool:
        """Whether `who` may do it on this cloud, as its API server says (a SubjectAccessReview).

        Args:
            who: a service account (`training/trainer`), a group (`ml:auditors`, `system:authenticated`), or `anonymous`.
            verb: `get`, `list`, `create`, …, also `bind`, `escalate` or `impersonate`.
            resource: as kubectl writes it: `pods`, `pods/log`, `jobs.batch`, `deployments.apps/scale`.
            namespace: where; the whole cluster unless told.
            name: of which object; of any unless told.

        Raises:
            BadInputError: `resource` is no resource, or the cloud refuses to say.
            FootprintError: the cloud does not answer.
        """
        try:
            ask = ask_of(verb, resource, namespace, name)
        except ValueError as error:
            raise BadInputError(
                str(error), hint="Group and subresource are part of it: jobs.batch, pods/exec."
            ) from None
        body = review(*persona(who), ask)
        answer = self.request("POST", REVIEWS, f"whether {who} may {ask}", json=body)
        return bool(answer["status"]["allowed"])

    def account_uid(self, namespace: str, account: str) -> str:
        """The uid of a service account: new each time that the account is created.

        Raises:
            BadInputError: the cloud has no such account, or refuses to show it.
            FootprintError: the cloud does not answer.
        """
        answer = self.request("GET", _account_path(namespace, account), f"service account {namespace}/{account}")
        return str(answer["metadata"]["uid"])

    def token(self, namespace: str, account: str, audience: str | None = None, seconds: int = TOKEN_SECONDS) -> str:
        """A token of a service account, signed by this cloud's issuer (a JWT).

        Args:
            namespace: the account's namespace.
            account: the account's name.
            audience: who the token is for; the learner's own `lab.audience` unless told.
            seconds: its life; Kubernetes gives none below 600.

        Raises:
            BadInputError: the cloud has no such account, or refuses the token.
            FootprintError: the cloud does not answer.
        """
        spec = {"audiences": [audience or self._audience], "expirationSeconds": seconds}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        what = f"a token of {namespace}/{account}"
        answer = self.request("POST", f"{_account_path(namespace, account)}/token", what, json=body)
        return str(answer["status"]["token"])

    def request(self, method: str, path: str, what: str, **kwargs: Any) -> dict[str, Any]:
        """Ask the API server for `what` (words for the error message) and return its JSON answer.

        Raises:
            BadInputError: the server answered with a refusal.
            FootprintError: it did not answer.
        """
        try:
            response = self.http.request(method, path, **kwargs)
        except httpx.HTTPError:
            raise self._silent() from None
        answer = _json(response)
        if response.is_error:
            reason = answer.get("message") or f"{response.status_code} {response.reason_phrase}"
            raise BadInputError(f"{self.name}: {what}: {reason}", hint="Check names and namespace, then try again.")
        return answer

    def _public(self, path: str) -> dict[str, Any]:
        try:
            with client(self._access.server, tls(self.ca)) as anybody:  # the issuer is a name that Vault knows
                answer: dict[str, Any] = anybody.get(path).raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            raise self._silent() from None
        return answer

    def _silent(self) -> FootprintError:
        return FootprintError(f"The cloud {self.name} does not answer.", hint="Look with: mod209 status zero-trust")

    def _client_files(self) -> tuple[Any, Any]:
        cert = self._pems.file("cert.pem", self._access.cert)
        return cert, self._pems.file("key.pem", self._access.key)


def _json(response: httpx.Response) -> dict[str, Any]:
    """The answer as JSON; empty where it is none: API servers answer a path that they do not know in plain text."""
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _account_path(namespace: str, account: str) -> str:
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
