"""Policy engines beside OPA: what is kept of a publisher's manifests, whose keys are whose, and how learners wait for them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from environments.errors import BadInputError, FootprintError
from environments.footprint import start
from environments.kind import images
from environments.kind.node import VOLATILE
from environments.kind.policyengines import ENGINE_NAMES, Installed, engine_named
from environments.kind.policyengines.certificate import with_certificate
from environments.kind.policyengines.engine import with_image
from environments.kind.policyengines.install import install, serves, volatile
from environments.lab import engines
from environments.lab.kinds import Kinds, UnknownKindError
from environments.labspec import PolicyEngine
from environments.toolchain.catalog import spec_of
from environments.toolchain.version import ask

GATEKEEPER, KYVERNO = engine_named("gatekeeper"), engine_named("kyverno")
CONSTRAINT = {"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "PlatformPods", "metadata": {"name": "x"}}


def document(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def deployment(name: str, *arguments: str) -> dict[str, Any]:
    first: dict[str, Any] = {
        "name": "manager",
        "image": "publisher/x:latest",
        "command": ["/manager"],
        "args": list(arguments),
    }
    first |= {"readinessProbe": {"httpGet": {"path": "/readyz"}}}
    pod = {"containers": [first, {"name": "sidecar"}], "initContainers": [{"name": "pre"}], "affinity": {}}
    return document("Deployment", name, spec={"replicas": 3, "template": {"spec": pod}})


def test_the_names_that_people_may_give_are_those_of_the_engines() -> None:
    assert set(get_args(PolicyEngine)) == {"", *ENGINE_NAMES}


def test_gatekeeper_is_one_controller_without_mutation_that_reaches_nothing_outside() -> None:
    stock = deployment("gatekeeper-controller-manager", "--operation=webhook", "--operation=mutation-webhook")
    kept = GATEKEEPER.kept(stock) or pytest.fail("its controller is left out")
    whole = with_image(kept, "docker.io/mod209/gatekeeper:1", "gatekeeper")
    assert whole["spec"]["replicas"] == 1
    pod = whole["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert "initContainers" not in pod
    assert container["image"] == "docker.io/mod209/gatekeeper:1"
    assert container["command"] == [f"{images.BIN}/gatekeeper"]
    assert "--operation=mutation-webhook" not in container["args"]
    assert "--disable-opa-builtin={http.send}" in container["args"]
    assert "--enable-referential-rules=false" in container["args"]
    assert container["readinessProbe"]["httpGet"]
    for left in ("gatekeeper-audit", "another"):
        assert GATEKEEPER.kept(deployment(left)) is None
    assert GATEKEEPER.kept(document("MutatingWebhookConfiguration", "x")) is None


def test_gatekeepers_webhook_fails_closed_and_is_about_the_platform_alone() -> None:
    stock = {"failurePolicy": "Ignore", "timeoutSeconds": 3, "rules": [{"resources": ["*"]}]}
    hooks = [{"name": "validation.gatekeeper.sh", **stock}, {"name": "check-ignore-label.gatekeeper.sh", **stock}]
    kept = GATEKEEPER.kept(document("ValidatingWebhookConfiguration", "x", webhooks=hooks)) or pytest.fail("left out")
    [hook] = kept["webhooks"]
    assert hook["name"] == "validation.gatekeeper.sh"
    assert hook["failurePolicy"] == "Fail"
    assert hook["namespaceSelector"] == {"matchLabels": {"mod209.io/platform": "true"}}
    assert {"pods/ephemeralcontainers", "cronjobs"} < {one for rule in hook["rules"] for one in rule["resources"]}


def test_kyvernos_controller_cannot_see_everything_and_looks_at_replica_sets() -> None:
    assert KYVERNO.kept(document("ClusterRoleBinding", "kyverno:admission-controller:view")) is None
    assert KYVERNO.kept(document("ClusterRoleBinding", "kyverno:admission-controller"))
    assert KYVERNO.kept(document("Deployment", "kyverno-reports-controller")) is None
    settings = KYVERNO.kept(document("ConfigMap", "kyverno", data={"resourceFilters": "[ReplicaSet,*,*]"}))
    assert settings is not None
    assert "ReplicaSet" not in settings["data"]["resourceFilters"]
    assert "mod209.io/platform" in settings["data"]["webhooks"]


@pytest.mark.parametrize(
    ("engine", "key", "whose"),
    [
        (GATEKEEPER, "/registry/templates.gatekeeper.sh/constrainttemplates/x", "learner"),
        (GATEKEEPER, "/registry/constraints.gatekeeper.sh/platformpods/x", "learner"),
        (GATEKEEPER, "/registry/apiextensions.k8s.io/customresourcedefinitions/x.constraints.gatekeeper.sh", "learner"),
        (GATEKEEPER, "/registry/apiextensions.k8s.io/customresourcedefinitions/x.templates.gatekeeper.sh", "ours"),
        (GATEKEEPER, "/registry/config.gatekeeper.sh/configs/gatekeeper-system/config", "engine"),
        (GATEKEEPER, "/registry/status.gatekeeper.sh/constraintpodstatuses/gatekeeper-system/x", "engine"),
        (GATEKEEPER, "/registry/secrets/gatekeeper-system/gatekeeper-webhook-server-cert", "engine"),
        (GATEKEEPER, "/registry/validatingwebhookconfigurations/gatekeeper-validating-webhook-configuration", "ours"),
        (GATEKEEPER, "/registry/secrets/serving/gatekeeper-system", "ours"),
        (KYVERNO, "/registry/policies.kyverno.io/validatingpolicies/x", "learner"),
        (KYVERNO, "/registry/policies.kyverno.io/mutatingpolicies/x", "ours"),
        (KYVERNO, "/registry/validatingwebhookconfigurations/kyverno-resource-validating-webhook-cfg", "engine"),
        (KYVERNO, "/registry/validatingwebhookconfigurations/mod209-opa", "ours"),
        (KYVERNO, "/registry/services/endpoints/kyverno/kyverno-svc", "engine"),
    ],
)
def test_every_key_has_one_owner(engine: Any, key: str, whose: str) -> None:
    changes_by_itself = bool(volatile(engine, VOLATILE).match(key))
    assert (bool(engine.policies.match(key)), changes_by_itself) == (whose == "learner", whose == "engine")


def test_an_engine_is_installed_with_rights_for_operators_and_what_acts_comes_last(tmp_path: Path) -> None:
    objects = [deployment("gatekeeper-controller-manager"), document("CustomResourceDefinition", "c")]
    objects[0]["spec"]["template"]["spec"]["containers"] = [{"name": "manager"}]
    objects += [document("Secret", "s") | {"metadata": {"name": "s", "namespace": "n"}}, document("Namespace", "n")]
    hook = {"clientConfig": {"service": {"name": "s", "namespace": "n"}}}
    objects.insert(0, document("ValidatingWebhookConfiguration", "w", webhooks=[hook]))
    (tmp_path / "objects.json").write_text(json.dumps(objects))
    made: list[tuple[str, dict[str, Any]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        made.append((request.url.path, json.loads(request.content)))
        return httpx.Response(409 if "secrets" in request.url.path else 201, json={})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="https://cloud") as client:
        about = Installed(name="gatekeeper", archive=tmp_path, image="i", objects=tmp_path / "objects.json")
        install(client, "aws", about)
    kinds = [body["kind"] for _, body in made]
    assert kinds == [
        "Namespace",
        "CustomResourceDefinition",
        "Secret",
        "ValidatingWebhookConfiguration",
        "Deployment",
        "ClusterRole",
        "ClusterRoleBinding",
    ]
    assert "/api/v1/namespaces/n/secrets" in dict(made)


def test_the_webhook_of_gatekeeper_is_trusted_by_the_authority_that_signed_what_its_controller_is_given() -> None:
    service = {"name": "webhook", "namespace": "gatekeeper-system", "path": "/v1/admit"}
    hook = {"name": "validation.gatekeeper.sh", "clientConfig": {"service": service}}
    documents = [
        document("Secret", "gatekeeper-webhook-server-cert"),
        document("Secret", "another"),
        document("ValidatingWebhookConfiguration", "hooks", webhooks=[hook]),
    ]
    given, other, hooks = with_certificate(documents, GATEKEEPER.certificate)
    [client] = [one["clientConfig"] for one in hooks["webhooks"]]
    ca = x509.load_pem_x509_certificate(base64.b64decode(client["caBundle"]))
    leaf = x509.load_pem_x509_certificate(base64.b64decode(given["data"]["tls.crt"]))
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["webhook.gatekeeper-system.svc"]
    key = load_pem_private_key(base64.b64decode(given["data"]["tls.key"]), None)
    assert key.public_key() == leaf.public_key()
    assert (other, client["service"]) == (documents[1], service)


@pytest.mark.parametrize(("status", "ready"), [({}, False), ({"availableReplicas": 1}, True)])
def test_an_engine_serves_when_its_controller_is_available(status: dict[str, int], ready: bool) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": status})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="https://cloud") as client:
        assert serves(client, GATEKEEPER) is ready


@pytest.mark.parametrize("engine", ["gatekeeper", "nonsense"])
def test_local_has_no_engine_beside_opa(engine: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no policy engine"):
        start("zero-trust", directory=tmp_path / "footprint", engine=engine)
    assert not (tmp_path / "footprint").exists()


def test_there_is_no_engine_of_another_name() -> None:
    with pytest.raises(BadInputError, match="no policy engine 'opa'"):
        engine_named("opa")


@pytest.mark.parametrize("kind", ["mod", "dep"])
def test_a_binary_that_cannot_be_asked_is_known_by_its_modules(kind: str, tmp_path: Path) -> None:
    binary, spec, module = tmp_path / "gatekeeper", spec_of("gatekeeper"), b"github.com/open-policy-agent/gatekeeper/v3"
    line = kind.encode() + b"\t" + module + b"\tv9.8.7\th1:x=\n"
    binary.write_bytes(b"\x7fELF\0\xff\npath\t" + module + b"\n" + line + b"\0")
    assert ask(binary, spec) == "9.8.7"
    binary.write_bytes(b"")
    assert ask(binary, spec) is None


class FakeCloud:
    """A cloud that answers the discovery and the status in turn."""

    name = "aws"

    def __init__(self, groups: list[Any], states: list[dict[str, Any]]) -> None:
        self.groups, self.states = iter(groups), iter(states)
        self.kinds = Kinds("aws", self.discover)

    def discover(self, _: str) -> dict[str, Any]:
        if (found := next(self.groups)) is None:
            raise BadInputError("no", hint="no")
        return {"resources": [{"kind": kind, "name": kind.lower(), "namespaced": False} for kind in found]}

    def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"metadata": {"generation": 2}, "status": next(self.states)}


def test_a_constraints_kind_is_waited_for_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "POLL_SECONDS", 0.0)
    cloud: Any = FakeCloud([None, ["Other"], ["Other", "PlatformPods"]], [])
    assert engines.await_kind(cloud, CONSTRAINT) == "/apis/constraints.gatekeeper.sh/v1beta1/platformpods"
    cloud = FakeCloud([None, ["Gadget"]], [])
    with pytest.raises(UnknownKindError, match="no apiVersion example"):
        engines.await_kind(cloud, {**CONSTRAINT, "apiVersion": "example.com/v1", "kind": "Gadget"})


def test_who_has_no_engine_is_told_where_it_comes_from() -> None:
    cloud: Any = FakeCloud([None], [])
    with pytest.raises(UnknownKindError) as caught:
        engines.await_kind(cloud, {**CONSTRAINT, "apiVersion": "policies.kyverno.io/v1", "kind": "ValidatingPolicy"})
    assert "--engine kyverno" in caught.value.hint


def test_a_policy_is_in_force_when_every_pod_enforces_this_very_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "POLL_SECONDS", 0.0)
    old, new = ({"byPod": [{"observedGeneration": g, "enforced": True}]} for g in (1, 2))
    states = [{}, {"byPod": [{"observedGeneration": 2}]}, old, new]
    cloud: Any = FakeCloud([], states)
    engines.await_force(cloud, "/x", CONSTRAINT)
    assert next(cloud.states, None) is None
    asked = [
        {"conditionStatus": {"conditions": [{"type": "WebhookConfigured", "status": now}]}} for now in ("False", "True")
    ]
    kyverno: Any = FakeCloud([], [{}, *asked])
    engines.await_force(kyverno, "/x", {**CONSTRAINT, "apiVersion": "policies.kyverno.io/v1"})
    assert next(kyverno.states, None) is None


def test_what_an_engine_complains_of_is_said_and_what_takes_too_long_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"byPod": [{"errors": [{"code": "rego_parse_error", "message": "unexpected eof"}]}]}
    template = {**CONSTRAINT, "apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate"}
    cloud: Any = FakeCloud([], [wrong])
    with pytest.raises(BadInputError, match="ConstraintTemplate x: unexpected eof"):
        engines.await_force(cloud, "/x", template)
    monkeypatch.setattr(engines, "FORCE_SECONDS", 0.0)
    slow: Any = FakeCloud([], [{}])
    with pytest.raises(FootprintError, match="does not bring"):
        engines.await_force(slow, "/x", template)
