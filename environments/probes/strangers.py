"""Probes of bindings: who holds a role in a namespace without being in the table of needs. Operators may read them too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from environments.platform import platform
from environments.probes.clients import json_of, message_of
from environments.probes.observation import UnreachableError, brief
from environments.probes.wire import Wire
from environments.rights import ACCOUNT, RBAC_GROUP, wildcard_groups

BASE: Final = f"/apis/{RBAC_GROUP}/v1/namespaces"
OURS: Final = "mod209:"


def strangers(wire: Wire, cloud: str, namespace: str) -> Iterator[str]:
    """In words, each binding there of somebody who is not in the table to a role that grants something."""
    roles = {role["metadata"]["name"]: role.get("rules") for role in _listed(wire, cloud, namespace, "roles")}
    for binding in _listed(wire, cloud, namespace, "rolebindings"):
        name, role = binding["metadata"]["name"], binding["roleRef"]
        if name.startswith(OURS) or (role["kind"] == "Role" and not roles.get(role["name"])):
            continue
        for subject in binding.get("subjects") or ():
            if (who := _who(subject, namespace)) not in _known():
                yield f"{who} holds {role['kind']} {role['name']} in {namespace}"


def _who(subject: Mapping[str, str], namespace: str) -> str:
    """The subject of a binding as the table names it."""
    name = subject["name"]
    if subject["kind"] == "ServiceAccount":
        return f"{subject.get('namespace') or namespace}/{name}"
    if subject["kind"] == "User" and name.startswith(ACCOUNT):
        return name.removeprefix(ACCOUNT).replace(":", "/")
    return name if subject["kind"] == "Group" else f"User {name}"


def _known() -> set[str]:
    """Who is in the table, and who is asked about by name anyway."""
    defaults = (f"{namespace}/default" for namespace in platform().namespaces)
    return {*(need.who for need in platform().needs), *wildcard_groups(platform().namespaces), *defaults}


def _listed(wire: Wire, cloud: str, namespace: str, kind: str) -> list[dict[str, Any]]:
    answer = wire.clients.kube(cloud, "GET", f"{BASE}/{namespace}/{kind}")
    items = json_of(answer).get("items")
    if answer.is_error or not isinstance(items, list):
        raise UnreachableError(f"{cloud} does not show its {kind}: {brief(message_of(answer))}")
    return items
