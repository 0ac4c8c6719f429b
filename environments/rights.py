"""Rights on a cloud as RBAC knows them: who needs which, and how one is named and asked about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic import Field, model_validator

from environments.yamlfile import Strict

RBAC_GROUP: Final = "rbac.authorization.k8s.io"
REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ACCOUNT: Final = "system:serviceaccount:"
EVERYBODY: Final = "system:authenticated"
NOBODY: Final = "system:unauthenticated"
ANONYMOUS: Final = "system:anonymous"
ANY: Final = "*"
VERBS: Final = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})
RESOURCE: Final = re.compile(r"(?P<plural>[^./]+)(\.(?P<group>[^/]+))?(/(?P<sub>[^/]+))?")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One question to an authorizer. `resource` may be `pods/log`; no `namespace` is the whole cluster, no `name` any object."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        plural, slash, sub = self.resource.partition("/")
        what = f"{plural}{'.' if self.group else ''}{self.group}{slash}{sub}"
        where = f"in {self.namespace}" if self.namespace else "in the whole cluster"
        return f"{self.verb} {what}{f' {self.name}' if self.name else ''} {where}"

    def attributes(self) -> dict[str, str]:
        """The `resourceAttributes` of an access review."""
        plural, _, sub = self.resource.partition("/")
        spec = {"verb": self.verb, "group": self.group, "resource": plural, "subresource": sub}
        return spec | {"namespace": self.namespace, "name": self.name}


def ask_of(verb: str, resource: str, namespace: str = "", name: str = "") -> Ask:
    """The question about `resource` as kubectl writes it: `pods`, `pods/log`, `jobs.batch`, `deployments.apps/scale`.

    Raises:
        ValueError: `resource` is not written like that.
    """
    match = RESOURCE.fullmatch(resource)
    if not match:
        raise ValueError(f"{resource!r} is no resource: write pods, pods/log, jobs.batch or deployments.apps/scale")
    whole = match["plural"] + (f"/{match['sub']}" if match["sub"] else "")
    return Ask(verb=verb, group=match["group"] or "", resource=whole, namespace=namespace, name=name)


class Right(Strict):
    """Verbs on resources of one API group in some namespaces; `names` says which objects, none that it is all."""

    namespaces: list[str] = Field(min_length=1)
    group: str = ""
    resources: list[str] = Field(min_length=1)
    names: list[str] = Field(default_factory=list)
    verbs: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _plain_verbs(self) -> Self:
        if strange := sorted(set(self.verbs) - VERBS):
            raise ValueError(f"nobody's task needs {', '.join(strange)}")
        return self

    def asks(self) -> Iterator[Ask]:
        """Each single question that this right answers with yes."""
        for namespace in self.namespaces:
            for resource in self.resources:
                for name in self.names or [""]:
                    for verb in self.verbs:
                        yield Ask(verb=verb, group=self.group, resource=resource, namespace=namespace, name=name)

    def rule(self) -> dict[str, list[str]]:
        """The same as a rule of a Role."""
        named = {"resourceNames": list(self.names)} if self.names else {}
        return {"apiGroups": [self.group], "resources": list(self.resources), **named, "verbs": list(self.verbs)}


class Need(Strict):
    """What one subject's task needs. `who` is a service account (`namespace/name`) or a group of people."""

    who: str
    why: str
    rights: list[Right] = Field(min_length=1)

    def asks(self) -> Iterator[Ask]:
        """Each single question that must be answered with yes."""
        for right in self.rights:
            yield from right.asks()

    @property
    def subject(self) -> dict[str, str]:
        """The subject of a RoleBinding."""
        if "/" in self.who:
            namespace, name = self.who.split("/")
            return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        return {"kind": "Group", "apiGroup": RBAC_GROUP, "name": self.who}


def persona(who: str, member: str = "somebody") -> tuple[str, list[str]]:
    """User and groups as an API server sees `who`.

    `who` is a service account (`namespace/name`), `anonymous`, `somebody` who is in no group, or a group, of which
    `member` is the one who asks.
    """
    if "/" in who:
        namespace, name = who.split("/", 1)
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", EVERYBODY]
        return f"{ACCOUNT}{namespace}:{name}", groups
    if who == "anonymous":
        return ANONYMOUS, [NOBODY]
    return member, [EVERYBODY] if who in ("somebody", EVERYBODY) else [who, EVERYBODY]


def wildcard_groups(namespaces: Iterable[str]) -> list[str]:
    """The groups into which Kubernetes itself puts everybody, or every service account (of a namespace)."""
    accounts = [f"system:serviceaccounts:{namespace}" for namespace in namespaces]
    return [EVERYBODY, NOBODY, "system:serviceaccounts", *accounts]


def review(user: str, groups: list[str], ask: Ask) -> dict[str, Any]:
    """A SubjectAccessReview: may this user do that?"""
    spec = {"user": user, "groups": groups, "resourceAttributes": ask.attributes()}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
