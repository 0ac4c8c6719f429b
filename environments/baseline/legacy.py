"""The rights that the last team left on each cloud, as `legacy.yaml` states them: ZT-6 is to clear them away."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from environments.rights import RBAC_GROUP
from environments.yamlfile import Strict, load_yaml

Object = dict[str, Any]
VERSION: Final = f"{RBAC_GROUP}/v1"


class Grant(Strict):
    """A role and its binding, both called `name` unless the binding has a name of its own."""

    name: str
    namespace: str = ""
    binding: str = ""
    rules: list[dict[str, list[str]]]
    subjects: list[str]

    def objects(self) -> Iterator[Object]:
        """The (Cluster)Role and its binding."""
        scope = "" if self.namespace else "Cluster"
        place = {"namespace": self.namespace} if self.namespace else {}
        reference = {"apiGroup": RBAC_GROUP, "kind": f"{scope}Role", "name": self.name}
        yield _object(f"{scope}Role", self.name, place, rules=self.rules)
        subjects = [_subject(who) for who in self.subjects]
        yield _object(f"{scope}RoleBinding", self.binding or self.name, place, roleRef=reference, subjects=subjects)


class Legacy(Strict):
    """The whole of `legacy.yaml`."""

    roles: list[Grant]
    cluster_roles: list[Grant]


@cache
def legacy() -> Legacy:
    """What was left."""
    return load_yaml(Path(__file__).with_name("legacy.yaml"), Legacy)


def legacy_objects() -> Iterator[Object]:
    """All of it, to be created."""
    for grant in (*legacy().roles, *legacy().cluster_roles):
        yield from grant.objects()


def cluster_bindings() -> list[str]:
    """Names of the cluster role bindings among it, the only ones that operators may delete."""
    return [grant.binding for grant in legacy().cluster_roles]


def _object(kind: str, name: str, place: dict[str, str], **content: object) -> Object:
    return {"apiVersion": VERSION, "kind": kind, "metadata": {"name": name, **place}, **content}


def _subject(who: str) -> Object:
    if "/" in who:
        namespace, name = who.split("/")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"apiGroup": RBAC_GROUP, "kind": "Group", "name": who}
