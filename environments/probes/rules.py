"""Probes of rules: all that a subject may do in a namespace, as its API server lists it, held against the table of needs.

A SelfSubjectRulesReview lists every rule that applies, so nothing that was granted stays unseen, however it was granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from environments.access import Identity
from environments.platform import platform
from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.dangers import Granted, granted, kinds
from environments.probes.kinds.rights import BaseRightsProbe, ReviewProbe, RulesProbe
from environments.probes.observation import ALLOWED, REFUSED, Finding, UnreachableError, brief
from environments.probes.rights import ask_needs, ask_review, listed, places, without_use
from environments.probes.strangers import strangers
from environments.probes.wire import Wire
from environments.rights import ANY, Ask, persona, wildcard_groups

PATH: Final = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
NOTHING_BEYOND: Final = "nothing beyond the table"
MEMBER: Final = "somebody"
# What Kubernetes gives to everybody: asking about oneself, and certificates of authorities.
USUAL: Final = frozenset(
    {
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
        ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
        *((verb, "certificates.k8s.io", "clustertrustbundles") for verb in ("get", "list", "watch")),
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


def _found(probe: RulesProbe, case: Case, wire: Wire, namespace: str) -> Iterator[object]:
    if probe.about == "strangers":
        yield from strangers(wire, case.cloud, namespace)
        return
    everybodys = _everybodys(wire, case.cloud, namespace)
    if probe.about == "everybody":
        yield from everybodys
        return
    for one in _beyond(case.subject, _rules(wire, case.cloud, namespace, _identity(case.subject))):
        found = kinds(case.subject, one)
        if probe.about in found and (found != {"excess"} or one not in everybodys):
            yield one


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
    return [one for one in rights if _matters(one)]


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


def _matters(one: Granted) -> bool:
    """Whether it is more than Kubernetes itself gives."""
    return (one.verb, one.group, one.resource) not in USUAL
