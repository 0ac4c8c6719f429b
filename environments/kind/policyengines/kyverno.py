"""Kyverno: ValidatingPolicies in CEL. Of its controllers only that of admission runs."""

from __future__ import annotations

import json
import re
from typing import Final

from environments.baseline.objects import PLATFORM_LABEL
from environments.kind.policyengines.engine import VERBS, Engine, Object, controller

SYSTEM: Final = "kyverno"
CONTROLLER: Final = "kyverno-admission-controller"
KEPT: Final = frozenset({"Namespace", "CustomResourceDefinition"})
KEPT_OF_ADMISSION: Final = frozenset({"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})
SERVICE: Final = "kyverno-svc"
# Reading all that there is to see is not what admission needs, and a policy could look with these eyes.
LEFT_OUT: Final = frozenset({"kyverno:admission-controller:view"})
# Kyverno leaves some objects alone unless told otherwise; those that carry pods are to be looked at.
FILTERS: Final = "[*/*,kyverno,*] [*/*,kube-system,*] [Event,*,*]"
CHANGED: Final = {
    "--admissionReports": "false",
    "--generateValidatingAdmissionPolicy": "false",
    "--enableReporting": "",
    "--disableMetrics": "true",
}


def _arguments(stock: list[str]) -> list[str]:
    """No reports, no metrics, and no policy of the API server's made from one of Kyverno's."""
    return [f"{flag}={CHANGED.get(flag, value)}" for flag, _, value in (one.partition("=") for one in stock)]


def _kept(document: Object) -> Object | None:
    kind, name = document["kind"], document["metadata"]["name"]
    if kind in KEPT or (kind == "Service" and name == SERVICE):
        return document
    if kind == "Deployment" and name == CONTROLLER:
        return controller(document, _arguments)
    if kind == "ConfigMap":
        return _settings(document) if name == "kyverno" else document
    ours = kind in KEPT_OF_ADMISSION and "admission-controller" in name and name not in LEFT_OUT
    return document if ours else None


def _settings(document: Object) -> Object:
    """Kyverno's settings; its webhooks, which it makes itself, are about the platform's namespaces."""
    selector = {"namespaceSelector": {"matchLabels": {PLATFORM_LABEL: "true"}}}
    return {**document, "data": document["data"] | {"resourceFilters": FILTERS, "webhooks": json.dumps(selector)}}


KYVERNO: Final = Engine(
    name="kyverno",
    namespace=SYSTEM,
    deployment=CONTROLLER,
    module="github.com/kyverno/kyverno",
    manifests="config/install-latest-testing.yaml",
    kept=_kept,
    rights=({"apiGroups": ["policies.kyverno.io"], "resources": ["validatingpolicies"], "verbs": VERBS},),
    policies=re.compile(r"^/registry/policies\.kyverno\.io/validatingpolicies/"),
    volatile="(validating|mutating)webhookconfigurations/kyverno-",
)
