"""The notebook API against real servers: tokens, admission, Vault, policies, and the display in a real kernel."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kubernetes.client import CoreV1Api
from nbclient import NotebookClient

from environments.access import write_access
from environments.errors import BadInputError, CheckFailedError, FootprintError
from environments.footprint import Footprint
from environments.lab import Cloud, Lab
from environments.lab.cli import apply_command, check_command

pytestmark = [pytest.mark.servers, pytest.mark.slow]

IMAGE = "example.com/a@sha256:" + "0" * 64
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "training"},
    "spec": {"serviceAccountName": "trainer", "containers": [{"name": "a", "image": IMAGE}]},
}
REFUSE_HOST_NETWORK = """package mod209.admission

deny contains "[test] no host network" if input.request.object.spec.hostNetwork
"""
POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: test}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {mod209.io/platform: "true"}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: "object.spec.containers.size() < 2", message: "[test] one container"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: test}
spec: {policyName: test, validationActions: [Deny]}
"""


@pytest.fixture
def lab(footprint: Footprint, tmp_path: Path) -> Iterator[Lab]:
    for folder in ("policies", "manifests"):
        (tmp_path / folder).mkdir()
    with closing(Lab("zero-trust", footprint.access("operator"), tmp_path)) as opened:
        yield opened


def refusal(cloud: Cloud, body: dict[str, Any], seconds: float = 10.0) -> str:
    """What the cloud says once it refuses `body`; it takes a policy up a moment after it is stored."""
    deadline = time.monotonic() + seconds
    while (answer := cloud.dry_run(body)) == "admitted" and time.monotonic() < deadline:
        pass
    return answer


def claims(token: str) -> dict[str, Any]:
    text = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def test_a_token_is_of_the_account_and_for_the_learners_audience(lab: Lab) -> None:
    cloud = lab.cloud("azure")
    found = claims(cloud.token("training", "trainer"))
    assert found["iss"] == cloud.issuer
    assert found["aud"] == [lab.audience]
    assert found["kubernetes.io"]["serviceaccount"]["uid"] == cloud.account_uid("training", "trainer")
    assert claims(cloud.token("training", "trainer", audience="https://other.example"))["aud"] == [
        "https://other.example"
    ]


def test_an_account_that_is_not_there_is_named(lab: Lab) -> None:
    with pytest.raises(BadInputError, match='serviceaccounts "nobody" not found'):
        lab.cloud("aws").token("training", "nobody")


def test_anybody_may_read_what_an_issuer_publishes(lab: Lab) -> None:
    cloud = lab.cloud("gcp")
    assert cloud.discovery()["issuer"] == cloud.issuer
    assert [key["crv"] for key in cloud.public_keys()] == ["P-256"]


def test_the_official_client_works(lab: Lab) -> None:
    accounts = CoreV1Api(lab.cloud("aws").kube).list_namespaced_service_account("features").items
    assert "feature-store" in [account.metadata.name for account in accounts if account.metadata]


def test_vault_says_why_it_refuses_a_login(lab: Lab) -> None:
    with pytest.raises(BadInputError, match=r"refused the login at jwt-aws as training-trainer: .+"):
        lab.vault_login("aws", "training-trainer", lab.cloud("aws").token("training", "trainer"))


def test_rego_is_applied_to_every_cloud(lab: Lab) -> None:
    (lab.root / "policies" / "admission.rego").write_text(REFUSE_HOST_NETWORK)
    assert "policies/admission.rego" in repr(lab.apply())
    on_host = {**POD, "spec": {**POD["spec"], "hostNetwork": True}}  # type: ignore[dict-item]
    for cloud in lab.clouds.values():
        assert cloud.dry_run(POD) == "admitted"
        assert "[test] no host network" in cloud.dry_run(on_host)


def test_nothing_is_applied_where_one_file_has_an_error(lab: Lab) -> None:
    (lab.root / "policies" / "a.rego").write_text(REFUSE_HOST_NETWORK.replace("input.", "inptu."))
    (lab.root / "policies" / "aws-x.hcl").write_text('path "kv/data/x" { capabilities = ["read"] }')
    with pytest.raises(BadInputError, match=r"a\.rego:3: "):
        lab.apply()
    assert "ml-aws-x" not in lab.vault.sys.list_policies()["data"]["policies"]


def test_hcl_becomes_a_policy(lab: Lab) -> None:
    text = 'path "kv/data/x" { capabilities = ["read"] }'
    (lab.root / "policies" / "aws-x.hcl").write_text(text)
    lab.apply("policies/aws-x.hcl")
    assert lab.vault.sys.read_policy("ml-aws-x")["data"]["rules"] == text


def test_an_error_in_hcl_has_its_line(lab: Lab) -> None:
    (lab.root / "policies" / "x.hcl").write_text('path "a" {\n  capabilities ["read"]\n}\n')
    with pytest.raises(BadInputError, match=r"policies/x\.hcl:2: "):
        lab.apply()


def test_manifests_are_applied_again_without_complaint_and_come_into_force(lab: Lab) -> None:
    (lab.root / "manifests" / "policy.yaml").write_text(POLICY)
    lab.apply()
    assert lab.apply().admission_changed
    two = {**POD, "spec": {**POD["spec"], "containers": [{"name": n, "image": IMAGE} for n in "ab"]}}  # type: ignore[dict-item]
    for cloud in lab.clouds.values():
        assert "[test] one container" in refusal(cloud, two)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "x.yaml:1: ConfigMap a names no namespace"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: training}\n", "x.yaml:1: .*forbidden"),
        ("apiVersion: nope/v1\nkind: A\nmetadata: {name: a}\n", "x.yaml:1: .* has no apiVersion nope/v1"),
    ],
)
def test_a_refused_manifest_is_named_with_its_line(lab: Lab, text: str, words: str) -> None:
    (lab.root / "manifests" / "x.yaml").write_text(text)
    with pytest.raises(BadInputError, match=words):
        lab.apply()


def test_a_server_that_is_gone_is_said(lab: Lab) -> None:
    gone = lab.access.clouds["aws"].model_copy(update={"server": "https://127.0.0.1:1"})
    access = lab.access.model_copy(update={"clouds": {**lab.access.clouds, "aws": gone}})
    with (
        closing(Lab("zero-trust", access, lab.root)) as opened,
        pytest.raises(FootprintError, match="The cloud aws does not answer"),
    ):
        opened.cloud("aws").account_uid("training", "trainer")


@pytest.fixture
def terminal(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell in the learner's folder, with a footprint running."""
    write_access(lab.root / "access.json", lab.access)
    monkeypatch.setenv("MOD209_ACCESS", str(lab.root / "access.json"))
    monkeypatch.setenv("MOD209_COURSE", str(Path(__file__).parents[2]))
    monkeypatch.chdir(lab.root)


@pytest.mark.usefixtures("terminal")
def test_the_apply_command_says_what_it_applied(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    (lab.root / "policies" / "admission.rego").write_text(REFUSE_HOST_NETWORK)
    apply_command("zero-trust")
    assert "admission policy of aws, azure, gcp: policies/admission.rego" in capsys.readouterr().out


@pytest.mark.usefixtures("terminal")
def test_the_check_command_fails_on_an_empty_platform(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailedError, match=r"ZT-1\.1"):
        check_command("zero-trust", "ZT-1", json=True)
    [answer] = json.loads(capsys.readouterr().out)
    assert answer["task"] == "ZT-1"
    assert not answer["ok"]
    assert len(answer["checks"]) == 6


def test_a_notebook_shows_words_where_it_would_show_a_traceback(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write_access(lab.root / "access.json", lab.access)
    monkeypatch.setenv("MOD209_ACCESS", str(lab.root / "access.json"))
    sources = [
        'from environments.lab import open_lab\nlab = open_lab("zero-trust")',
        "%%artifact policies/a.rego\n" + REFUSE_HOST_NETWORK,
        "%%artifact policies/b.rego\npackage mod209.admission\n\ndeny contains x",
        "%%artifact ../outside.rego\npackage x",
        'lab.cloud("nowhere")',
    ]
    shown = run_notebook(lab.root, sources)
    assert "policies/a.rego: written, 3 lines, no errors" in shown[1]
    assert "policies/b.rego:3: " in shown[2]
    assert "%%artifact cannot write '../outside.rego'" in shown[3]
    assert "There is no cloud 'nowhere'.\n→ Clouds: aws, azure, gcp." in shown[4]
    assert not any("Traceback" in text for text in shown)
    assert (lab.root / "policies" / "a.rego").read_text() == REFUSE_HOST_NETWORK


def run_notebook(folder: Path, sources: list[str]) -> list[str]:
    """What each cell prints, run in a real kernel in `folder`."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, timeout=60, allow_errors=True, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]
