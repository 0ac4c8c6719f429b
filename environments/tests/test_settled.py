"""What is left of an operator's power after settle: nothing, whatever the credentials were and however they were made."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from environments.access import Access
from environments.footprint import Footprint
from environments.platform import platform
from environments.probes.clients import Clients
from environments.probes.observation import UnreachableError
from environments.probes.tokens import account_path, service_account_token
from environments.tests.securing import REGO, Operator, operator_of
from environments.tests.test_footprint import on_local_alone

pytestmark = pytest.mark.servers
CLOUD = "gcp"
EVERYTHING = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "left-behind"},
    "spec": {"containers": [{"name": "c", "image": "c"}]},
}
PODS = "/api/v1/namespaces/training/pods"


@pytest.fixture
def operator(footprint: Footprint) -> Iterator[Operator]:
    with operator_of(footprint) as someone:
        yield someone


@contextlib.contextmanager
def bearing(access: Access, cloud: str, token: str) -> Iterator[httpx.Client]:
    """A client of one cloud with a service-account token, and nothing else."""
    context = ssl.create_default_context(cadata=access.clouds[cloud].ca)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=access.clouds[cloud].server, verify=context, headers=headers) as client:
        yield client


@pytest.fixture
def footprint(any_footprint: Footprint) -> Footprint:
    """A footprint of each provider, at its baseline."""
    return any_footprint


def life(token: str) -> int:
    """Seconds from a JWT's issue to its end."""
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return int(claims["exp"] - claims["iat"])


def test_the_certificate_is_refused_on_every_cloud_and_on_open_connections(
    operator: Operator, footprint: Footprint
) -> None:
    access = operator.access
    for cloud in access.clouds:
        assert operator.clients.kube(cloud, "POST", PODS, POD).status_code == 201
    assert footprint.settle()["tampered"] == []
    with Clients(access) as fresh:
        for clients in (operator.clients, fresh):  # the first has connections open
            for cloud in access.clouds:
                for method, path in (("GET", "/version"), ("GET", PODS), ("DELETE", f"{PODS}/left-behind")):
                    with pytest.raises(UnreachableError, match="does not accept our credentials"):
                        clients.kube(cloud, method, path)
    footprint.reset()
    with operator_of(footprint) as again:
        assert again.clients.kube(CLOUD, "GET", PODS).status_code == 200


def test_the_way_to_load_rego_is_shut(operator: Operator, footprint: Footprint) -> None:
    operator.apply_rego(REGO)
    footprint.settle()
    with pytest.raises(AssertionError, match="wrong token"):
        operator.apply_rego(REGO)
    footprint.reset()
    with pytest.raises(AssertionError, match="wrong token"):  # nor does it come back for the next learner
        operator.apply_rego(REGO)
    with operator_of(footprint) as other:
        other.apply_rego(REGO)


def token_request(operator: Operator, **spec: Any) -> httpx.Response:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return operator.clients.kube(CLOUD, "POST", f"{account_path('training', 'trainer')}/token", body)


@pytest.mark.parametrize("seconds", [3600, 3607, 10**8])
def test_no_service_account_token_lives_longer_than_an_hour(operator: Operator, seconds: int) -> None:
    answer = token_request(operator, expirationSeconds=seconds)
    assert life(answer.json()["status"]["token"]) <= 3600


def test_service_account_tokens_could_and_can_do_nothing_on_a_cloud(operator: Operator, footprint: Footprint) -> None:
    operator.clear_access()  # what the last team left, and a learner is to take away
    pod = POD | {"spec": {"serviceAccountName": "trainer", "containers": [{"name": "c", "image": "c"}]}}
    created = operator.clients.kube(CLOUD, "POST", PODS, pod).json()
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "left-behind", "uid": created["metadata"]["uid"]}
    tokens = [
        token_request(operator, expirationSeconds=10**8).json()["status"]["token"],
        token_request(operator, boundObjectRef=bound).json()["status"]["token"],
    ]
    operator.clients.kube(CLOUD, "POST", account_path("training"), {"metadata": {"name": "mole"}})
    tokens.append(
        service_account_token(operator.clients, CLOUD, "training", "mole", operator.access.clouds[CLOUD].issuer)
    )
    footprint.settle()
    for token in tokens:
        with bearing(operator.access, CLOUD, token) as client:
            assert client.get("/version").status_code == 200  # it is a token, of somebody without rights
            for method, path in (
                ("GET", PODS),
                ("POST", PODS),
                ("DELETE", f"{PODS}/left-behind"),
                ("POST", f"{account_path('training', 'trainer')}/token"),
                ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
                ("GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"),
            ):
                assert client.request(method, path, json=POD if method == "POST" else None).status_code == 403
            client.headers["Impersonate-User"] = "mod209:operator"
            assert client.get(PODS).status_code == 403


def log_in(operator: Operator, **changes: Any) -> dict[str, Any]:
    """Log in as a workload; Vault's `auth`."""
    workload = platform().workloads[0]
    operator.write_role(CLOUD, workload, **changes)
    audience = operator.access.params.audience
    jwt = service_account_token(operator.clients, CLOUD, workload.namespace, workload.account, audience)
    answer = operator.clients.vault("POST", f"auth/jwt-{CLOUD}/login", None, {"role": workload.role, "jwt": jwt})
    auth: dict[str, Any] = answer.raise_for_status().json()["auth"]
    return auth


def works(operator: Operator, token: str) -> bool:
    return operator.clients.vault("GET", "auth/token/lookup-self", token).status_code == 200


LOGINS = [
    {},
    {"token_period": "768h", "token_ttl": "768h", "token_max_ttl": "0"},
    {"token_num_uses": 0, "token_explicit_max_ttl": "768h"},
]


@on_local_alone
@pytest.mark.parametrize("changes", LOGINS)
def test_workload_logins_are_revoked_whatever_their_role_says(
    operator: Operator, footprint: Footprint, changes: dict[str, Any]
) -> None:
    operator.trust_issuer(CLOUD)
    auth = log_in(operator, **changes)
    assert auth["token_type"] == "service"
    assert works(operator, auth["client_token"])
    report = footprint.settle()
    assert report["tampered"] == []
    assert not works(operator, auth["client_token"])
    assert not works(operator, operator.access.vault.token)


@on_local_alone
def test_a_batch_token_of_a_login_is_no_tampering_and_ends_with_the_learners_policies(
    operator: Operator, footprint: Footprint
) -> None:
    operator.trust_issuer(CLOUD)
    auth = log_in(operator, token_type="batch", token_ttl="20m")
    assert auth["token_type"] == "batch"
    assert works(operator, auth["client_token"])
    assert footprint.settle()["tampered"] == []
    assert not footprint.reset()["vault"]["renewed"]
    assert not works(operator, auth["client_token"])


MADE = [
    ("create", {}),
    ("create", {"period": "768h"}),
    ("create-orphan", {"ttl": "768h"}),
    ("create", {"type": "batch"}),
]


@on_local_alone
@pytest.mark.parametrize(("path", "body"), MADE)
def test_tokens_made_by_a_workload_that_may_are_revoked(
    operator: Operator, footprint: Footprint, path: str, body: dict[str, Any]
) -> None:
    operator.trust_issuer(CLOUD)
    parent = root_login(operator)
    made = operator.clients.vault("POST", f"auth/token/{path}", parent, body).raise_for_status().json()
    token = made["auth"]["client_token"]
    assert works(operator, token)
    footprint.settle()
    assert not works(operator, token)
    assert not works(operator, parent)


def root_login(operator: Operator) -> str:
    workload = platform().workloads[0]
    operator.write_policy(CLOUD, workload, EVERYTHING)
    return str(log_in(operator)["client_token"])


@on_local_alone
def test_a_wrapped_token_is_revoked_and_what_was_wrapped_with_it(operator: Operator, footprint: Footprint) -> None:
    operator.trust_issuer(CLOUD)
    parent = root_login(operator)
    context = ssl.create_default_context(cadata=operator.access.vault.ca)
    headers = {"X-Vault-Token": parent, "X-Vault-Wrap-TTL": "1h"}
    with httpx.Client(base_url=operator.access.vault.address, verify=context) as client:
        made = client.post("/v1/auth/token/create-orphan", json={"ttl": "768h"}, headers=headers).raise_for_status()
        footprint.settle()
        wrapping = {"X-Vault-Token": made.json()["wrap_info"]["token"]}
        assert client.post("/v1/sys/wrapping/unwrap", headers=wrapping).is_error


def test_a_token_that_nobody_can_revoke_is_tampering_and_ends_with_the_reset(
    operator: Operator, footprint: Footprint
) -> None:
    operator.trust_issuer(CLOUD)
    body = {"type": "batch", "ttl": "768h", "policies": ["mod209-judge"]}
    made = operator.clients.vault("POST", "auth/token/create-orphan", root_login(operator), body)
    token = made.raise_for_status().json()["auth"]["client_token"]
    assert footprint.settle()["tampered"] == ["vault: a batch token, which nobody can revoke"]
    assert footprint.reset()["vault"]["renewed"]
    assert not works(operator, token)


@on_local_alone
def test_an_audit_log_that_was_switched_off_and_on_again_is_tampering(operator: Operator, footprint: Footprint) -> None:
    operator.trust_issuer(CLOUD)
    root = root_login(operator)
    device = operator.clients.vault("GET", "sys/audit", root).json()["data"]["file/"]
    again = {"type": "file", "options": device["options"], "description": device["description"]}
    assert operator.clients.vault("DELETE", "sys/audit/file", root).is_success
    assert operator.clients.vault("PUT", "sys/audit/file", root, again).is_success
    assert footprint.settle()["tampered"] == ["vault: its audit devices were changed under way"]
