"""A footprint on real servers, the same for all providers: what stands on it, how it is locked, and how it is reset."""

from __future__ import annotations

import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from environments.access import Access
from environments.errors import FootprintError
from environments.footprint import Footprint
from environments.params import derive

pytestmark = pytest.mark.servers
CLOUDS = ("aws", "azure", "gcp")
# Vault and the workbench are the same programs on every provider: once is enough for what they alone have a say in.
on_local_alone = pytest.mark.parametrize("any_footprint", ["local"], indirect=True)


@pytest.fixture
def footprint(any_footprint: Footprint) -> Footprint:
    """A footprint of each provider, at its baseline."""
    return any_footprint


@contextmanager
def kube(access: Access, cloud: str) -> Iterator[httpx.Client]:
    """A client of one cloud with the access' own certificate."""
    with tempfile.NamedTemporaryFile("w") as pem:
        pem.write(access.clouds[cloud].cert + access.clouds[cloud].key)
        pem.flush()
        context = ssl.create_default_context(cadata=access.clouds[cloud].ca)
        context.load_cert_chain(pem.name)
    with httpx.Client(base_url=access.clouds[cloud].server, verify=context, timeout=30) as client:
        yield client


def vault(access: Access, token: str | None = None) -> httpx.Client:
    context = ssl.create_default_context(cadata=access.vault.ca)
    headers = {"X-Vault-Token": token or access.vault.token}
    return httpx.Client(base_url=f"{access.vault.address}/v1", verify=context, headers=headers, timeout=30)


def bench(access: Access, path: str, files: dict[str, str], token: str | None = None) -> httpx.Response:
    assert access.workbench
    context = ssl.create_default_context(cadata=access.workbench.ca)
    headers = {"Authorization": f"Bearer {token or access.workbench.token}"}
    return httpx.post(
        access.workbench.address + path, json={"files": files}, headers=headers, verify=context, timeout=30
    )


def pod(name: str = "p", image: str = "busybox") -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def create_pod(client: httpx.Client, namespace: str = "training", dry: bool = False, **options: str) -> httpx.Response:
    parameters = {"dryRun": "All"} if dry else {}
    return client.post(f"/api/v1/namespaces/{namespace}/pods", params=parameters, json=pod(**options))


POLICY = 'package mod209.admission\n\ndeny contains "[ZT-3/test] no" if input.request.object.spec.containers[0].image == "evil"\n'


def test_all_servers_run_and_the_operators_file_is_for_its_owner_alone(footprint: Footprint) -> None:
    status = footprint.status()
    assert status["ready"]
    assert {f"{cloud}/{server}" for cloud in CLOUDS for server in ("etcd", "kube-apiserver", "opa")} < status[
        "servers"
    ].keys()
    assert (footprint.directory / "operator.json").stat().st_mode & 0o077 == 0


def test_rego_is_asked_by_every_cloud_and_undone_by_a_reset(footprint: Footprint) -> None:
    access = footprint.access("operator")
    assert bench(access, "/apply", {"a.rego": POLICY}).json() == {"ok": True, "errors": []}
    for cloud in CLOUDS:
        with kube(access, cloud) as client:
            refused = create_pod(client, image="evil")
            assert refused.status_code == 403
            assert "[ZT-3/test] no" in refused.json()["message"]
            assert create_pod(client, dry=True).status_code == 201
    footprint.reset("admission")
    for cloud in CLOUDS:
        with kube(access, cloud) as client:
            assert create_pod(client, image="evil", dry=True).status_code == 201


def test_modules_that_need_each_other_load_in_any_order(footprint: Footprint) -> None:
    user = 'package mod209.admission\n\nimport data.mod209.admission.lib\n\ndeny contains "[x] no" if lib.evil(input)\n'
    library = 'package mod209.admission.lib\n\nevil(i) if i.request.object.spec.containers[0].image == "evil"\n'
    access = footprint.access("operator")
    for files in ({"a.rego": user, "z.rego": library}, {"z.rego": user, "a.rego": library}):
        assert bench(access, "/apply", files).status_code == 200
        with kube(access, "gcp") as client:
            assert create_pod(client, image="evil").status_code == 403


@on_local_alone
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            'package mod209.admission\n\ndeny contains "x" if http.send({"url": "http://127.0.0.1"})\n',
            "undefined function http.send",
        ),
        ("package mod209.admission\n\ndeny contains opa.runtime().env.HOME\n", "undefined function opa.runtime"),
        ('package mod209.admission\n\ndeny contains "x" if time.now_ns() > 0\n', "undefined function time.now_ns"),
        (
            'package mod209.admission\n\ndeny contains "x" if net.lookup_ip_addr("a")\n',
            "undefined function net.lookup_ip_addr",
        ),
        ("package system.authz\n\nallow := true\n", "must be in package mod209.admission"),
        ("package system\n\nmain := {}\n", "must be in package mod209.admission"),
        ("package mod209.admissionx\n\nx := 1\n", "must be in package mod209.admission"),
        ("package mod209.admission\n\ndeny contains\n", "rego_parse_error"),
    ],
)
def test_dangerous_or_broken_rego_is_refused_and_nothing_of_it_loaded(
    footprint: Footprint, source: str, problem: str
) -> None:
    access = footprint.access("operator")
    assert bench(access, "/apply", {"good.rego": POLICY}).status_code == 200
    answer = bench(access, "/apply", {"bad.rego": source})
    assert answer.status_code == 422
    first = answer.json()["errors"][0]
    assert (
        problem in first["message"]
        or problem in str(first.get("code", "")) + first["message"]
        or "unexpected" in first["message"]
    )
    assert first["file"] == "bad.rego"
    assert first["line"] >= 1
    with kube(access, "aws") as client:
        assert create_pod(client, image="evil").status_code == 403


def test_hcl_is_linted_with_its_line(footprint: Footprint) -> None:
    access = footprint.access("operator")
    assert bench(access, "/lint", {"p.hcl": 'path "kv/data/x" { capabilities = ["read"] }'}).json()["ok"]
    answer = bench(access, "/lint", {"p.hcl": 'path "kv/data/x" {\n  capabilities = ["read"\n}\n'}).json()
    assert not answer["ok"]
    assert answer["errors"][0]["file"] == "p.hcl"
    assert answer["errors"][0]["line"] >= 2


def test_the_workbench_wants_its_token_and_plain_files(footprint: Footprint) -> None:
    access = footprint.access("operator")
    assert bench(access, "/apply", {"a.rego": POLICY}, token="wrong").status_code == 401
    assert bench(access, "/apply", {"../a.rego": POLICY}).status_code == 400
    assert bench(access, "/no", {"a.rego": POLICY}).status_code == 400
    assert bench(access, "/apply", {"a.hcl": "x"}).status_code == 422


@pytest.mark.parametrize("deny", ['deny := "everything"', "deny := true"])
def test_a_policy_whose_denials_cannot_be_looped_over_is_not_loaded(footprint: Footprint, deny: str) -> None:
    answer = bench(footprint.access("operator"), "/apply", {"a.rego": f"package mod209.admission\n\n{deny}\n"})
    assert answer.status_code == 422
    assert "deny is not a set of messages" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("deny", ['deny := ["a"]', 'deny := {"a": "b"}'])
def test_a_policy_of_the_wrong_shape_refuses_instead_of_letting_all_through(footprint: Footprint, deny: str) -> None:
    access = footprint.access("operator")
    assert bench(access, "/apply", {"a.rego": f"package mod209.admission\n\n{deny}\n"}).status_code == 200
    with kube(access, "aws") as client:
        answer = create_pod(client, dry=True)
    assert answer.status_code == 403
    assert "is not a set of messages" in answer.json()["message"]


def test_a_policy_cannot_tell_who_asks_or_whether_it_is_a_dry_run(footprint: Footprint) -> None:
    source = """package mod209.admission

deny contains "[spy] seen" if input.request.userInfo
deny contains "[spy] seen" if input.request.uid
deny contains "[spy] seen" if "dryRun" in object.keys(input.request)
deny contains "[spy] seen" if "dryRun" in object.keys(object.get(input.request, "options", {}))
"""
    access = footprint.access("operator")
    assert bench(access, "/apply", {"a.rego": source}).status_code == 200
    with kube(access, "aws") as client:
        assert create_pod(client, dry=True).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/mod209-opa"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        ("GET", "/api/v1/namespaces/mod209-system/secrets"),
        ("GET", "/api/v1/namespaces/kube-system/serviceaccounts"),
        ("DELETE", "/api/v1/namespaces/training"),
        ("GET", "/api/v1/namespaces/training/secrets"),
    ],
)
def test_operators_cannot_touch_what_is_ours(footprint: Footprint, method: str, path: str) -> None:
    with kube(footprint.access("operator"), "aws") as client:
        assert client.request(method, path).status_code == 403


def test_nobody_reaches_a_cloud_without_a_certificate_but_for_health_and_issuer(footprint: Footprint) -> None:
    cloud = footprint.access("operator").clouds["aws"]
    context = ssl.create_default_context(cadata=cloud.ca)
    with httpx.Client(base_url=cloud.server, verify=context) as client:
        assert client.get("/openid/v1/jwks").status_code == 200
        assert client.get("/.well-known/openid-configuration").json()["issuer"] == cloud.issuer
        assert client.get("/readyz").status_code == 200
        assert client.get("/api/v1/namespaces").status_code == 401
        assert client.get("/version").status_code == 401


def test_etcd_and_opa_refuse_clients_without_our_certificates(footprint: Footprint) -> None:
    urls = [
        word.split("=", 1)[1].replace("0.0.0.0", _address(process))
        for process in processes(footprint)
        for word in process.cmdline()
        if word.startswith(("--listen-client-urls=", "--addr="))
    ]
    urls = [one for url in urls for one in url.split(",") if footprint.provider == "local" or "127.0.0.1" not in one]
    assert len(urls) == 2 * len(CLOUDS)
    for url in urls:
        with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
            httpx.get(f"{url}/health", verify=False)


def processes(footprint: Footprint) -> Iterator[psutil.Process]:
    """Every process of a footprint; those in a node are children of its first."""
    for server in footprint.status()["servers"].values():
        if server["pid"]:
            yield (first := psutil.Process(server["pid"]))
            yield from first.children(recursive=True)


def _address(process: psutil.Process) -> str:
    """Where a process listens that listens everywhere: its node's address."""
    namespace = Path(f"/proc/{process.pid}/net/fib_trie").read_text()
    lines = [line.strip() for line in namespace.splitlines()]
    local = [lines[at - 1].split()[-1] for at, line in enumerate(lines) if line.startswith("/32 host LOCAL")]
    return next(one for one in local if not one.startswith(("127.", "10.")))


def test_no_secret_stands_in_an_argument_list(footprint: Footprint) -> None:
    access = footprint.access("operator")
    assert access.workbench
    secrets = [access.vault.token, access.workbench.token, access.clouds["aws"].key.splitlines()[1]]
    for process in processes(footprint):
        with suppress(psutil.NoSuchProcess):
            words = " ".join(process.cmdline())
            assert not any(secret in words for secret in secrets)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "kv/data/aws/training/trainer", None),
        ("POST", "sys/policies/acl/mod209-operator", {"policy": 'path "*" { capabilities = ["sudo"] }'}),
        ("POST", "sys/mounts/mine", {"type": "kv"}),
        ("DELETE", "sys/audit/file", None),
        ("POST", "auth/token/create-orphan", {}),
        ("POST", "sys/auth/mine", {"type": "jwt"}),
        ("PUT", "sys/seal", None),
    ],
)
def test_vault_gives_operators_their_own_corner_only(footprint: Footprint, method: str, path: str, body: Any) -> None:
    with vault(footprint.access("operator")) as client:
        assert client.request(method, path, json=body).status_code == 403


def test_everything_is_audited(footprint: Footprint) -> None:
    access = footprint.access("operator")
    with kube(access, "azure") as client:
        create_pod(client, name="seen-in-the-log")
    with vault(access) as client:
        client.get("kv/data/azure/seen-in-the-log")
    events = [json.loads(line) for line in _kube_log(footprint, "azure").splitlines()]
    assert any(
        event["user"].get("username") == "mod209:operator" and "seen-in-the-log" in json.dumps(event)
        for event in events  # one whose credentials were refused has no name
    )
    home = "vault" if footprint.provider == "local" else "aws/node/vault"
    vault_log = (footprint.directory / home / "audit.log").read_text()
    assert "kv/data/azure/seen-in-the-log" in vault_log
    assert access.vault.token not in vault_log
    decisions = footprint.directory / "logs" / "azure-opa.log"
    assert until(lambda: "seen-in-the-log" in decisions.read_text())


def _kube_log(footprint: Footprint, cloud: str) -> str:
    if footprint.provider == "local":
        return (footprint.directory / cloud / "audit.log").read_text()
    node = psutil.Process(footprint.status()["servers"][f"{cloud}/node"]["pid"])
    return Path(f"/proc/{node.pid}/root/var/log/kubernetes/audit.log").read_text()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_reset_proves_that_every_trace_of_a_learner_is_gone(footprint: Footprint) -> None:
    first = footprint.reset()
    access = footprint.access("operator")
    for cloud in CLOUDS:
        with kube(access, cloud) as client:
            for number in range(5):
                assert create_pod(client, name=f"p{number}").status_code == 201
            client.delete("/api/v1/namespaces/serving/serviceaccounts/predictor")
    with vault(access) as client:
        client.post("sys/policies/acl/ml-x", json={"policy": 'path "*" { capabilities = ["read"] }'}).raise_for_status()
        client.post(
            "auth/jwt-aws/role/r", json={"role_type": "jwt", "user_claim": "sub", "bound_audiences": "x"}
        ).raise_for_status()
    again = footprint.reset()
    assert {cloud: report["digest"] for cloud, report in again["etcd"].items()} == {
        c: r["digest"] for c, r in first["etcd"].items()
    }
    assert again["vault"]["digest"] == first["vault"]["digest"]
    assert not again["vault"]["renewed"]
    assert min(report["keys_restored"] for report in again["etcd"].values()) >= 6
    with vault(access) as client:
        assert client.get("auth/token/lookup-self").status_code == 403  # the old operator's token


def test_a_lock_out_by_a_validating_policy_is_undone_by_a_partial_reset(footprint: Footprint) -> None:
    access = footprint.access("operator")
    kinds = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "lock"},
        "spec": {"matchConstraints": {"resourceRules": [kinds]}, "validations": [{"expression": "false"}]},
    }
    binding = {
        **body,
        "kind": "ValidatingAdmissionPolicyBinding",
        "spec": {"policyName": "lock", "validationActions": ["Deny"]},
    }
    base = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    with kube(access, "aws") as client:
        assert client.post(f"{base}ies", json=body).status_code == 201
        assert client.post(f"{base}ybindings", json=binding).status_code == 201
        deadline = time.monotonic() + 10
        while create_pod(client, dry=True).status_code == 201 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert create_pod(client, dry=True).status_code != 201
        with pytest.raises(FootprintError, match="refuses even the platform's own facts"):
            footprint.reset("vault")
        footprint.reset("admission")
        deadline = time.monotonic() + 10
        while (last := create_pod(client, dry=True).status_code) != 201 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert last == 201


def test_settle_ends_the_operator_and_finds_nothing_where_nothing_was_done(footprint: Footprint) -> None:
    access = footprint.access("operator")
    with kube(access, "aws") as client, vault(access) as secrets:
        assert create_pod(client).status_code == 201
        assert footprint.settle()["tampered"] == []
        assert create_pod(client, name="late").status_code == 401
        assert secrets.get("auth/token/lookup-self").status_code == 403


def test_settle_finds_a_vault_taken_over_through_a_policy(footprint: Footprint) -> None:
    clean = footprint.reset()["vault"]
    access = footprint.access("operator")
    with kube(access, "aws") as client:
        path = "/api/v1/namespaces/training/serviceaccounts/trainer/token"
        jwt = client.post(path, json={"spec": {"audiences": ["x"], "expirationSeconds": 600}}).json()["status"]["token"]
    cloud = access.clouds["aws"]
    with vault(access) as client:
        config = {
            "oidc_discovery_url": cloud.issuer,
            "oidc_discovery_ca_pem": cloud.ca,
            "jwt_supported_algs": ["ES256"],
        }
        client.post("auth/jwt-aws/config", json=config).raise_for_status()
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["x"], "token_policies": ["ml-root"]}
        client.post("auth/jwt-aws/role/r", json=role).raise_for_status()
        everything = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'
        client.post("sys/policies/acl/ml-root", json={"policy": everything}).raise_for_status()
        token = client.post("auth/jwt-aws/login", json={"role": "r", "jwt": jwt}).json()["auth"]["client_token"]
    with vault(access, token) as client:
        assert client.request("DELETE", "sys/audit/file").status_code == 204
        assert client.post("kv/data/aws/training/trainer", json={"data": {"value": "mine"}}).status_code == 200
        assert client.post("auth/token/create-orphan", json={"policies": ["ml-root"]}).status_code == 200
    report = footprint.settle()
    assert {"vault: sys/audit", "vault: kv/metadata/aws/training/trainer"} <= set(report["tampered"])
    with vault(access, token) as client:
        assert client.get("auth/token/lookup-self").status_code == 403
    again = footprint.reset()["vault"]
    assert again["renewed"]
    assert again["digest"] == clean["digest"]


def test_another_learners_facts_come_with_the_reset(footprint: Footprint) -> None:
    params = derive("somebody", bytes(32))
    footprint.reset(params=params)
    access = footprint.access("operator")
    assert access.params == params
    source = 'package mod209.admission\n\ndeny contains sprintf("[fact] %v", [data.cloud.registry])\n'
    assert bench(access, "/apply", {"a.rego": source}).status_code == 200
    for cloud in CLOUDS:
        with kube(access, cloud) as client:
            facts = client.get("/api/v1/namespaces/mod209-facts/configmaps/cloud-facts").json()["data"]
            assert facts["registry"] == params.clouds[cloud].registry
            assert params.clouds[cloud].registry in create_pod(client, dry=True).json()["message"]
