"""What is wrong with a right beyond the table of needs: a way to more rights, a way into what others run, or mere excess."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from environments.platform import platform
from environments.rights import ANY, RBAC_GROUP, Ask

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


def needs_of(who: str) -> list[Ask]:
    """What the table of needs gives to `who`: each single thing."""
    return list(_needs(who))


def granted(who: str, ask: Ask) -> bool:
    """Whether the table of needs gives it to `who`: on that object, or on any."""
    anything = Ask(verb=ask.verb, group=ask.group, resource=ask.resource, namespace=ask.namespace)
    return not {ask, anything}.isdisjoint(_needs(who))


@cache
def _needs(who: str) -> dict[Ask, None]:
    """A set that keeps its order."""
    return {ask: None for need in platform().needs if need.who == who for ask in need.asks()}


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
