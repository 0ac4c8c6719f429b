"""Probes of rules: all that a subject may do in a namespace, as its API server lists it, held against the table of needs.

A SelfSubjectRulesReview lists every rule that applies, so nothing that was granted stays unseen, however it was granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from environments.access import Identity
from environments.platform import platform
from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.model import BaseRightsProbe, ReviewProbe, RulesProbe
from environments.probes.observation import ALLOWED, REFUSED, Finding, UnreachableError, brief
from environments.probes.rights import ask_needs, ask_review, granted, listed, places, without_use
from environments.probes.wire import Wire
from environments.rights import ANY, RBAC_GROUP, VERBS, Ask, persona, wildcard_groups

PATH: Final = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
NOTHING_BEYOND: Final = "nothing beyond the table"
MEMBER: Final = "somebody"
WRITES: Final = ("create", "update", "patch", "delete", "deletecollection")
CHANGES: Final = ("create", "update", "patch")
ADMISSION: Final = "admissionregistration.k8s.io"
CERTIFICATES: Final = "certificates.k8s.io"
# Who can do one of these can come to do anything: group, resources, verbs.
ESCALATION: Final = (
    (RBAC_GROUP, ("roles", "rolebindings", "clusterroles", "clusterrolebindings"), (*WRITES, "bind", "escalate")),
    ("", ("serviceaccounts/token",), ("create",)),
    ("", ("users", "groups", "serviceaccounts"), ("impersonate",)),
    ("authentication.k8s.io", ("uids", "userextras"), ("impersonate",)),
    (CERTIFICATES, ("certificatesigningrequests", "certificatesigningrequests/approval"), CHANGES),
    (CERTIFICATES, ("signers",), ("approve", "sign", "attest")),
    (ADMISSION, ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"), WRITES),
)
# Who can do one of these gets into what others run, or reads what only they may.
INTRUSION: Final = (
    ("", ("secrets",), ("get", "list", "watch", *CHANGES)),
    (
        "",
        ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy"),
        ("get", *CHANGES),
    ),
    ("", ("pods/ephemeralcontainers",), ("update", "patch")),
    ("", ("pods", "podtemplates", "replicationcontrollers"), CHANGES),
    ("apps", ("deployments", "statefulsets", "daemonsets", "replicasets"), CHANGES),
    ("batch", ("jobs", "cronjobs"), CHANGES),
)
# What Kubernetes gives to everybody: asking about oneself, and certificates of authorities.
USUAL: Final = frozenset(
    {
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
        ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
        *((verb, CERTIFICATES, "clustertrustbundles") for verb in ("get", "list", "watch")),
    }
)
USUAL_PATHS: Final = (
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/readyz",
    "/openapi",
    "/version",
    "/.well-known/",
    "/openid/",
)


@dataclass(frozen=True, kw_only=True)
class Granted:
    """One verb on one resource, as a rule grants it; either may be `*`, and so may the group. Paths are resources here."""

    verb: str
    group: str
    resource: str
    name: str
    namespace: str

    def __str__(self) -> str:
        return str(Ask(**self.__dict__))

    def covers(self, group: str, resource: str, verb: str) -> bool:
        """Whether it grants that too."""
        matches = {ANY, resource} | ({f"{ANY}/{resource.partition('/')[2]}"} if "/" in resource else set())
        return self.resource in matches and self.group in (ANY, group) and self.verb in (ANY, verb)


def ask_rights(probe: BaseRightsProbe, case: Case, wire: Wire) -> Finding:
    """Ask what a probe of any kind asks about the rights of the case's subject."""
    if isinstance(probe, ReviewProbe):
        return ask_review(probe, case, wire)
    return ask_rules(probe, case, wire) if isinstance(probe, RulesProbe) else ask_needs(case, wire)


def expected_of(probe: BaseRightsProbe) -> str:
    """The answer that a platform in order gives."""
    if isinstance(probe, ReviewProbe):
        return REFUSED
    return NOTHING_BEYOND if isinstance(probe, RulesProbe) else ALLOWED


def ask_rules(probe: RulesProbe, case: Case, wire: Wire) -> Finding:
    """List what the subject may do in each namespace; nothing of it may be beyond the table and of the probe's kind."""
    namespaces = places(probe.namespaces, case.subject)
    request = f"{case.subject} on {case.cloud}: all that it may do in {', '.join(namespaces)}"
    if fault := without_use(case, wire):
        return Finding(request=request, expected=NOTHING_BEYOND, got="not usable", detail=fault, ok=False)
    found = [one for namespace in namespaces for one in _found(probe, case, wire, namespace)]
    got = "more than the table" if found else NOTHING_BEYOND
    return Finding(request=request, expected=NOTHING_BEYOND, got=got, detail=listed(found), ok=not found)


def _found(probe: RulesProbe, case: Case, wire: Wire, namespace: str) -> Iterator[Granted]:
    everybodys = _everybodys(wire, case.cloud, namespace)
    if probe.about == "everybody":
        yield from everybodys
        return
    for one in _beyond(case.subject, _rules(wire, case.cloud, namespace, _identity(case.subject))):
        if one not in everybodys and probe.about in kinds(case.subject, one):
            yield one


def kinds(who: str, one: Granted) -> set[str]:
    """What is wrong with a right beyond the table: an escalation, an intrusion, or else mere excess."""
    found = {
        kind
        for kind, dangers in (("escalation", ESCALATION), ("intrusion", INTRUSION))
        if any(_dangerous(who, one, *danger) for danger in dangers)
    }
    return found if found and ANY not in (one.verb, one.group, one.resource) else found | {"excess"}


def _dangerous(who: str, one: Granted, group: str, resources: Iterable[str], verbs: Iterable[str]) -> bool:
    for resource in resources:
        for verb in verbs:
            ask = Ask(verb=verb, group=group, resource=resource, namespace=one.namespace, name=one.name)
            if one.covers(group, resource, verb) and not granted(who, ask):
                return True
    return False


def _beyond(who: str, rules: Iterable[Granted]) -> Iterator[Granted]:
    """What is not in the table."""
    for one in rules:
        if ANY in (one.verb, one.group, one.resource) or not granted(who, Ask(**one.__dict__)):
            yield one


def _everybodys(wire: Wire, cloud: str, namespace: str) -> frozenset[Granted]:
    """What every person, every account and nobody in particular may do there."""
    everybody = Identity(user=MEMBER, groups=wildcard_groups(platform().namespaces))
    return frozenset(_rules(wire, cloud, namespace, everybody))


def _identity(who: str) -> Identity:
    """Kubernetes adds an account's groups itself, and everybody's to whoever has a group."""
    user, groups = persona(who, MEMBER)
    return Identity(user=user) if "/" in who else Identity(user=user, groups=groups)


def _rules(wire: Wire, cloud: str, namespace: str, who: Identity) -> list[Granted]:
    key = ("rules", cloud, namespace, who.user, *who.groups)
    return wire.once(key, lambda: _ask(wire, cloud, namespace, who))


def _ask(wire: Wire, cloud: str, namespace: str, who: Identity) -> list[Granted]:
    answer = wire.clients.kube(cloud, "POST", PATH, {"spec": {"namespace": namespace}}, who)
    status = json_of(answer).get("status", {})
    if answer.is_error or not isinstance(status, dict) or status.get("incomplete") is not False:
        raise UnreachableError(f"{cloud} does not list what {who.user} may do: {brief(message_of(answer))}")
    rights = [*_rights(status.get("resourceRules") or (), namespace), *_paths(status.get("nonResourceRules") or ())]
    return [one for one in rights if _matters(one, wire, cloud)]


def _rights(rules: Iterable[Mapping[str, Any]], namespace: str) -> Iterator[Granted]:
    for rule in rules:
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for verb in rule.get("verbs") or ():
                    for name in rule.get("resourceNames") or [""]:
                        yield Granted(verb=verb, group=group, resource=resource, name=name, namespace=namespace)


def _paths(rules: Iterable[Mapping[str, Any]]) -> Iterator[Granted]:
    for rule in rules:
        for path in rule.get("nonResourceURLs") or ():
            if list(rule["verbs"]) != ["get"] or not path.startswith(USUAL_PATHS):
                for verb in rule["verbs"]:
                    yield Granted(verb=verb, group="", resource=path, name="", namespace="")


def _matters(one: Granted, wire: Wire, cloud: str) -> bool:
    """Whether it is more than Kubernetes itself gives, and on something that there is.

    One rule for several groups and resources also names pairs that do not exist.
    """
    if (one.verb, one.group, one.resource) in USUAL:
        return False
    if one.verb not in VERBS or one.group == ANY or one.resource.startswith((ANY, "/")):
        return True
    return one.resource in wire.once(("resources", cloud, one.group), lambda: _resources(wire, cloud, one.group))


def _resources(wire: Wire, cloud: str, group: str) -> frozenset[str]:
    """All resources of an API group, subresources included; none where the cloud has no such group."""
    if not group:
        return _listed(wire, cloud, "/api/v1")
    versions = json_of(wire.clients.kube(cloud, "GET", f"/apis/{group}")).get("versions", ())
    return frozenset().union(*(_listed(wire, cloud, f"/apis/{version['groupVersion']}") for version in versions))


def _listed(wire: Wire, cloud: str, path: str) -> frozenset[str]:
    listing = json_of(wire.clients.kube(cloud, "GET", path)).get("resources")
    if not listing:
        raise UnreachableError(f"{cloud} does not say what it has at {path}.")
    return frozenset(entry["name"] for entry in listing)
