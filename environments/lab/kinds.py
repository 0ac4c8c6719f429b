"""Where an API server keeps objects of a kind, as the server itself says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from environments.errors import BadInputError

Discover = Callable[[str], dict[str, Any]]


class UnknownKindError(BadInputError):
    """The cloud has no such kind, or not yet."""


class Kinds:
    """The kinds of one cloud; each API group is asked for once."""

    def __init__(self, cloud: str, discover: Discover) -> None:
        self._cloud = cloud
        self._discover = discover
        self._groups: dict[str, dict[str, dict[str, Any]]] = {}

    def collection(self, body: Mapping[str, Any]) -> str:
        """The path at which objects like `body` (with apiVersion, kind and metadata) are created.

        Raises:
            UnknownKindError: the cloud has no such kind.
            BadInputError: the object needs a namespace and names none.
        """
        version, kind, namespace = body["apiVersion"], body["kind"], body["metadata"].get("namespace")
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        resource = self._group(base, version).get(kind)
        if resource is None:
            del self._groups[base]  # it may be there the next time
            raise UnknownKindError(f"{self._cloud} has no kind {kind} in {version}.", hint="Check apiVersion and kind.")
        if not resource["namespaced"]:
            return f"{base}/{resource['name']}"
        if not namespace:
            name = body["metadata"].get("name")
            raise BadInputError(f"{kind} {name} names no namespace.", hint="Write metadata.namespace.")
        return f"{base}/namespaces/{namespace}/{resource['name']}"

    def _group(self, base: str, version: str) -> dict[str, dict[str, Any]]:
        if base not in self._groups:
            try:
                answer = self._discover(base)
            except BadInputError:
                raise UnknownKindError(
                    f"{self._cloud} has no apiVersion {version}.", hint="Check apiVersion."
                ) from None
            self._groups[base] = {r["kind"]: r for r in answer["resources"] if "/" not in r["name"]}
        return self._groups[base]
