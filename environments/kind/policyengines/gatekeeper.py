"""Gatekeeper: constraint templates in Rego or CEL, and constraints that use them."""

from __future__ import annotations

import re
from typing import Final

from environments.baseline.objects import where_pods_are
from environments.kind.policyengines.engine import VERBS, Engine, Object, controller

SYSTEM: Final = "gatekeeper-system"
MANAGER: Final = "gatekeeper-controller-manager"
CERTIFICATE: Final = "gatekeeper-webhook-server-cert"
ADMIT: Final = "validation.gatekeeper.sh"
KEPT: Final = frozenset(
    {
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
        "Role",
        "ClusterRole",
        "RoleBinding",
        "ClusterRoleBinding",
        "Secret",
        "Service",
    }
)
# It would write its certificate into a Secret that is mounted already, and the kubelet looks there once a minute.
GIVEN: Final = "--disable-cert-rotation"
# What the publisher leaves to its pod for audits: tell what becomes of templates, and make the kinds of their constraints.
# Admission policies of the API server's, into which it could turn templates, would have two masters.
ALSO: Final = (
    "--operation=status",
    "--operation=generate",
    "--default-create-vap-for-templates=false",
    "--default-create-vap-binding-for-constraints=false",
)
# Learners' Rego reaches nothing outside, as in our OPAs; and it sees no object but the one that is asked about.
CLOSED: Final = (
    "--disable-opa-builtin={http.send}",
    "--disable-opa-builtin={opa.runtime}",
    "--disable-opa-builtin={net.lookup_ip_addr}",
    "--enable-referential-rules=false",
)


def _arguments(stock: list[str]) -> list[str]:
    """All of validation in one process, and no mutation."""
    mine = [one for one in stock if one != "--operation=mutation-webhook" and not one.startswith("--disable-opa")]
    return [*mine, *ALSO, GIVEN, *CLOSED]


def _kept(document: Object) -> Object | None:
    name = document["metadata"]["name"]
    match document["kind"]:
        case "Deployment" if name == MANAGER:
            return controller(document, _arguments)
        case "ValidatingWebhookConfiguration":
            return {**document, "webhooks": [_hook(one) for one in document["webhooks"] if one["name"] == ADMIT]}
        case kind if kind in KEPT:
            return document
    return None


def _hook(stock: Object) -> Object:
    """The publisher's webhook, failing closed, about what carries pods in the platform's namespaces."""
    return {**stock, "failurePolicy": "Fail", "timeoutSeconds": 5, **where_pods_are()}


GATEKEEPER: Final = Engine(
    name="gatekeeper",
    namespace=SYSTEM,
    deployment=MANAGER,
    module="github.com/open-policy-agent/gatekeeper/v3",
    manifests="deploy/gatekeeper.yaml",
    kept=_kept,
    rights=(
        {"apiGroups": ["templates.gatekeeper.sh"], "resources": ["constrainttemplates"], "verbs": VERBS},
        {"apiGroups": ["constraints.gatekeeper.sh"], "resources": ["*"], "verbs": VERBS},
    ),
    policies=re.compile(
        r"^/registry/((templates|constraints)\.gatekeeper\.sh/"
        r"|apiextensions\.k8s\.io/customresourcedefinitions/[^/]+\.constraints\.gatekeeper\.sh$"
        r"|apiregistration\.k8s\.io/apiservices/[^/]+\.constraints\.gatekeeper\.sh$)"
    ),
    volatile=r"status\.gatekeeper\.sh/",
    certificate=CERTIFICATE,
)
