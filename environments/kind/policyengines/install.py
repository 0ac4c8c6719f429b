"""Bring an engine onto a cloud, as its keeper, before the baseline is remembered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpx

from environments.errors import FootprintError
from environments.kind.policyengines.certificate import with_certificate
from environments.kind.policyengines.engine import Engine, Installed, Object, with_image
from environments.kind.policyengines.names import engine_named
from environments.platform import OPERATORS_GROUP
from environments.rights import RBAC_GROUP

CORE: Final = "/api/v1"
RIGHTS: Final = "mod209:policy-engine"
# Where API servers keep the kinds that publishers' manifests have; namespaced ones below their namespace.
PLURALS: Final = {
    "Namespace": "namespaces",
    "CustomResourceDefinition": "customresourcedefinitions",
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Service": "services",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Deployment": "deployments",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
}
LAST: Final = ("Deployment", "ValidatingWebhookConfiguration")


def volatile(engine: Engine, stock: re.Pattern[str]) -> re.Pattern[str]:
    """Keys of etcd that change by themselves where the engine runs: all of its own namespace, and what it names."""
    own = rf"/registry/[^/]+(/[^/]+)?/{re.escape(engine.namespace)}/|/registry/({engine.volatile})"
    return re.compile(f"{stock.pattern}|^({own})")


def install(client: httpx.Client, cloud: str, installed: Installed) -> None:
    """Create the engine's objects and operators' rights; what is there already stays. `client` is the keeper's.

    Raises:
        FootprintError: the cloud refuses one.
    """
    engine = engine_named(installed.name)
    documents: list[Object] = json.loads(installed.objects.read_text())
    certified = with_certificate(documents, engine.certificate) if engine.certificate else documents
    for document in [*_in_order(certified), *_rights(engine)]:
        whole = with_image(document, installed.image, engine.name) if document["kind"] == "Deployment" else document
        answer = client.post(_collection(whole), json=whole)
        if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
            what = f"{whole['kind']} {whole['metadata']['name']} of {engine.name}"
            raise FootprintError(f"{cloud} does not take {what}: {answer.text[:200]}", hint="Start without --engine.")


def serves(client: httpx.Client, engine: Engine) -> bool:
    """Whether its controller is available."""
    path = f"/apis/apps/v1/namespaces/{engine.namespace}/deployments/{engine.deployment}"
    try:
        status: dict[str, Any] = client.get(path).raise_for_status().json().get("status", {})
    except httpx.HTTPError:
        return False
    return bool(status.get("availableReplicas"))


def waiter(client: httpx.Client, installed: Installed) -> Callable[[], bool]:
    """`serves`, to be asked again and again."""
    return lambda: serves(client, engine_named(installed.name))


def _in_order(documents: Iterable[Object]) -> list[Object]:
    """Namespaces and kinds first, what acts last; else as the publisher has them."""
    return sorted(documents, key=lambda one: (one["kind"] in LAST, one["kind"] != "Namespace"))


def _rights(engine: Engine) -> list[Object]:
    meta = {"metadata": {"name": RIGHTS}, "apiVersion": f"{RBAC_GROUP}/v1"}
    group = {"apiGroup": RBAC_GROUP, "kind": "Group", "name": OPERATORS_GROUP}
    role = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": RIGHTS}
    return [
        {**meta, "kind": "ClusterRole", "rules": [dict(rule) for rule in engine.rights]},
        {**meta, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [group]},
    ]


def _collection(item: Object) -> str:
    version, namespace = item["apiVersion"], item["metadata"].get("namespace")
    base = f"/apis/{version}" if "/" in version else CORE
    return f"{base}/namespaces/{namespace}/{PLURALS[item['kind']]}" if namespace else f"{base}/{PLURALS[item['kind']]}"
