"""Objects that carry pods, compliant to begin with, and how faults are laid over them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from environments.platform import DATA_LABEL, REGION_LABEL
from environments.probes.cases import Case

Object = dict[str, Any]
HEALTH: Final = "health"
INSTANCE: Final = "app.kubernetes.io/instance"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Where a kind lives in the API, where its pod template sits, and what else its spec needs."""

    api: str
    plural: str
    template: tuple[str, ...] = ("spec", "template")
    spec: Mapping[str, object] = field(default_factory=dict)
    selects: bool = False
    restart: str = "Always"

    @property
    def version(self) -> str:
        """The `apiVersion` of its objects."""
        return self.api.removeprefix("/apis/").removeprefix("/api/")

    def path(self, namespace: str, name: str = "") -> str:
        """Where the API server keeps a namespace's objects of this kind, or one of them."""
        return f"{self.api}/namespaces/{namespace}/{self.plural}{'/' if name else ''}{name}"


SHAPES: Final[Mapping[str, Shape]] = {
    "Pod": Shape(api="/api/v1", plural="pods", template=()),
    "PodTemplate": Shape(api="/api/v1", plural="podtemplates", template=("template",)),
    "ReplicationController": Shape(api="/api/v1", plural="replicationcontrollers"),
    "Deployment": Shape(api="/apis/apps/v1", plural="deployments", selects=True),
    "StatefulSet": Shape(api="/apis/apps/v1", plural="statefulsets", selects=True, spec={"serviceName": "peers"}),
    "DaemonSet": Shape(api="/apis/apps/v1", plural="daemonsets", selects=True),
    "ReplicaSet": Shape(api="/apis/apps/v1", plural="replicasets", selects=True),
    "Job": Shape(api="/apis/batch/v1", plural="jobs", restart="Never"),
    "CronJob": Shape(
        api="/apis/batch/v1",
        plural="cronjobs",
        template=("spec", "jobTemplate", "spec", "template"),
        spec={"schedule": "17 3 * * *"},
        restart="Never",
    ),
}


def good_template(case: Case) -> Object:
    """A pod template of the case's workload that breaks no rule."""
    facts = case.facts
    spec: Object = {
        "serviceAccountName": facts["account"],
        "restartPolicy": SHAPES[case.kind].restart,
        "containers": [
            {
                "name": facts["container"],
                "image": f"{facts['registry']}/{facts['team']}/{facts['account']}@sha256:{facts['digest']}",
            }
        ],
    }
    if facts["data"] == HEALTH:
        spec["nodeSelector"] = {REGION_LABEL: facts["health_region"]}
    return {"metadata": {"labels": {"app": facts["account"], DATA_LABEL: facts["data"]}}, "spec": spec}


def wrapped(kind: str, name: str, namespace: str, template: Object, owner: Object) -> Object:
    """An object of `kind` around `template`, with `owner` laid over it outside the template.

    Its pods have a label of their own: else its controller would take pods that other requests have stored, and end those
    that are too many.
    """
    shape = SHAPES[kind]
    own = {INSTANCE: name}
    if shape.template:
        template = laid_over(template, {"metadata": {"labels": own}})
    whole: Object = {"apiVersion": shape.version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
    if shape.spec or shape.selects:
        whole["spec"] = copy.deepcopy(dict(shape.spec))
    if shape.selects:
        whole["spec"]["selector"] = {"matchLabels": own}
    carrying: Object = laid_over(
        with_template(whole, shape.template, laid_over(template_in(whole, shape), template)), owner
    )
    return carrying


def with_template(whole: Object, path: tuple[str, ...], template: Object) -> Object:
    """`whole` with `template` in place of the one at `path`. For a Pod, whose path is empty, that is the pod itself."""
    if not path:
        return template
    return {**whole, path[0]: with_template(whole.get(path[0], {}), path[1:], template)}


def template_in(whole: Object, shape: Shape) -> Object:
    """The pod template inside `whole`; for a Pod the pod itself."""
    for step in shape.template:
        whole = whole.get(step, {})
    return whole


def laid_over(base: Any, overlay: Any) -> Any:
    """`base` changed by `overlay`: mappings key by key (null removes), lists item by item, anything else replaced."""
    if isinstance(overlay, Mapping):
        below = base if isinstance(base, Mapping) else {}
        kept = {key: value for key, value in below.items() if key not in overlay}
        changed = {key: laid_over(below.get(key), value) for key, value in overlay.items() if value is not None}
        return copy.deepcopy(kept) | changed
    if isinstance(overlay, list):
        items = base if isinstance(base, list) else []
        return [laid_over(old, new) for old, new in zip_longest(items, overlay)]
    return copy.deepcopy(base if overlay is None else overlay)
