"""Create objects on a cloud as its keeper, and wait until the API server has seen what was written behind its back."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx

from environments.baseline.objects import Object
from environments.errors import FootprintError

PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ValidatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
}
# Kinds that the API server itself acts on from its watch caches; others are read from etcd at each request.
ACTED_ON = {
    "clusterroles": PATHS["ClusterRole"],
    "clusterrolebindings": PATHS["ClusterRoleBinding"],
    "roles": "/apis/rbac.authorization.k8s.io/v1/roles",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "validatingwebhookconfigurations": PATHS["ValidatingWebhookConfiguration"],
    "validatingadmissionpolicies": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "validatingadmissionpolicybindings": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "namespaces": PATHS["Namespace"],
    "serviceaccounts": "/api/v1/serviceaccounts",
    "configmaps": "/api/v1/configmaps",
}
KEY = re.compile(r"^/registry/([^/]+)/")
CATCH_UP_SECONDS = 5.0
FIELD_MANAGER = "mod209-keeper"


class Kube:
    """The few requests that the keeper makes of a cloud."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def create_all(self, objects: Iterable[Object]) -> None:
        """Create objects side by side; one that exists already is left as it is."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._create, objects))

    def apply(self, item: Object) -> None:
        """Server-side apply."""
        url = f"{_collection(item)}/{item['metadata']['name']}"
        parameters = {"fieldManager": FIELD_MANAGER, "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        self.client.patch(url, params=parameters, headers=headers, json=item).raise_for_status()

    def cache_revision(self, collection: str) -> int:
        """The revision of the API server's own cache of a collection."""
        answer = self.client.get(collection, params={"resourceVersion": "0", "limit": "1"}).raise_for_status()
        return int(answer.json()["metadata"]["resourceVersion"])

    def _create(self, item: Object) -> None:
        answer = self.client.post(_collection(item), json=item)
        if answer.status_code != httpx.codes.CONFLICT:
            answer.raise_for_status()


def wait_caught_up(kube: Kube, changed: Mapping[bytes, int]) -> None:
    """Wait until the API server acts on what was `changed` in etcd (key to revision).

    A cache learns of a revision from a change of its own kind, so each kind is awaited up to its own last change.

    Raises:
        FootprintError: it has not caught up in time.
    """
    newest: dict[str, int] = {}
    for key, revision in changed.items():
        if match := KEY.match(key.decode(errors="replace")):
            newest[match.group(1)] = max(revision, newest.get(match.group(1), 0))
    deadline = time.monotonic() + CATCH_UP_SECONDS
    for kind in newest.keys() & ACTED_ON.keys():
        while kube.cache_revision(ACTED_ON[kind]) < newest[kind]:
            if time.monotonic() > deadline:
                raise FootprintError(
                    f"The API server did not catch up with its restored {kind}.",
                    hint="Run: mod209 down, then mod209 up.",
                )
            time.sleep(0.005)


def _collection(item: Object) -> str:
    return PATHS[item["kind"]].format(namespace=item["metadata"].get("namespace", ""))
