"""What stands on every cloud before a learner begins, as Kubernetes objects. The same on every provider."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from environments.baseline.legacy import legacy_objects
from environments.baseline.people import OPERATOR, binding, judges_binding
from environments.params import CloudParams
from environments.platform import (
    CREW_STEM,
    FACTS_CONFIGMAP,
    FACTS_NAMESPACE,
    OPERATORS_GROUP,
    SYSTEM_NAMESPACE,
    platform,
)
from environments.rights import RBAC_GROUP

Object = dict[str, Any]
HERE = Path(__file__).parent
PLATFORM_LABEL = "mod209.io/platform"
POD_CARRIERS = {
    "": ["pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"],
    "apps": ["deployments", "statefulsets", "daemonsets", "replicasets"],
    "batch": ["jobs", "cronjobs"],
}


def namespaces() -> list[Object]:
    """The platform's namespaces and our own."""
    names = [(name, {PLATFORM_LABEL: "true"}) for name in platform().namespaces]
    ours: list[tuple[str, dict[str, str]]] = [(SYSTEM_NAMESPACE, {}), (FACTS_NAMESPACE, {})]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n, "labels": labels}}
        for n, labels in names + ours
    ]


def contents(webhook_url: str, webhook_ca: str) -> list[Object]:
    """Everything else: accounts, RBAC and the admission webhook, which sends to `webhook_url` trusting `webhook_ca` (PEM)."""
    rbac = [document for document in yaml.safe_load_all((HERE / "rbac.yaml").read_text()) if document]
    rbac += [judges_binding(), *legacy_objects()]
    return [*rbac, *_accounts(), *_editors(), webhook(webhook_url, webhook_ca)]


def facts(name: str, cloud: CloudParams) -> Object:
    """The ConfigMap of a cloud's facts, for ValidatingAdmissionPolicy parameters. Lists are comma-separated."""
    data = {
        "name": name,
        "region": cloud.region,
        "regions": ",".join(cloud.regions),
        "registry": cloud.registry,
        "health_regions": ",".join(cloud.health_regions),
    }
    metadata = {"name": FACTS_CONFIGMAP, "namespace": FACTS_NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def webhook(url: str, ca: str) -> Object:
    """The admission webhook to OPA. It fails closed, and covers everything in the platform's namespaces that carries pods."""
    client = {"url": url, "caBundle": base64.b64encode(ca.encode()).decode()}
    hook = {
        "name": "opa.mod209.example",
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 5,
        "matchPolicy": "Equivalent",
        **where_pods_are(),
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": "mod209-opa"}, "webhooks": [hook, _rights(hook), _nodes(hook), _eyes(hook)]}


def where_pods_are() -> Object:
    """What a webhook is asked about: everything in the platform's namespaces that carries pods."""
    return {
        "namespaceSelector": {"matchLabels": {PLATFORM_LABEL: "true"}},
        "rules": [_rule(group, resources) for group, resources in POD_CARRIERS.items()],
    }


def _rights(hook: Object) -> Object:
    """Our own roles and bindings: nobody else changes those, and nobody takes their names."""
    rule = _rule(RBAC_GROUP, ["roles", "rolebindings"]) | {"operations": ["CREATE", "UPDATE", "DELETE"]}
    return _keeping(hook, "rbac.mod209.example", rule, "request.name.startsWith('mod209:')")


def _nodes(hook: Object) -> Object:
    """What runs on a node: nobody else names one, past the scheduler, and nobody gets into the judge's pods."""
    rule = _rule("", ["pods", *(f"pods/{part}" for part in ("ephemeralcontainers", "exec", "attach", "portforward"))])
    named = "request.operation == 'CREATE' && has(object.spec.nodeName) && object.spec.nodeName != ''"
    ours = f"request.name.matches('^{CREW_STEM}[0-9]+$') || {named}"
    return _keeping(hook, "nodes.mod209.example", rule | {"operations": ["CREATE", "UPDATE", "CONNECT"]}, ours)


def _eyes(hook: Object) -> Object:
    """Kyverno's policies, which would look things up with the rights of its controller; where it is not, nothing asks."""
    rule = _rule("policies.kyverno.io", ["validatingpolicies"]) | {"scope": "Cluster"}
    return {**hook, "name": "eyes.mod209.example", "clientConfig": _at(hook, "eyes"), "rules": [rule]}


def _keeping(hook: Object, name: str, rule: Object, ours: str) -> Object:
    """A webhook that asks OPA only about what is `ours`, and there nobody's policy but our own: the keeper alone may do it."""
    conditions = [
        {"name": "ours", "expression": ours},
        {"name": "not-by-the-keeper", "expression": "!('system:masters' in request.userInfo.groups)"},
    ]
    return {**hook, "name": name, "clientConfig": _at(hook, "ours"), "rules": [rule], "matchConditions": conditions}


def _at(hook: Object, document: str) -> Object:
    """Where OPA answers by one document of our own package."""
    return {**hook["clientConfig"], "url": f"{hook['clientConfig']['url']}v0/data/system/{document}"}


def _rule(group: str, resources: list[str]) -> Object:
    operations = ["CREATE", "UPDATE"]
    return {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "resources": resources,
        "operations": operations,
        "scope": "Namespaced",
    }


def _accounts() -> Iterator[Object]:
    """Workload accounts, and the `default` one of each namespace, which no controller makes on provider `local`."""
    wanted = [(n["metadata"]["name"], "default") for n in namespaces()] + [
        (w.namespace, w.account) for w in platform().workloads
    ]
    for namespace, name in wanted:
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def _editors() -> Iterator[Object]:
    for namespace in platform().namespaces:
        yield binding(OPERATOR, namespace, {"apiGroup": RBAC_GROUP, "kind": "Group", "name": OPERATORS_GROUP})
