"""Policies of an engine beside OPA take a moment: its kinds come to be, and it says when a policy is in force."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from environments.errors import BadInputError, FootprintError
from environments.lab.kinds import UnknownKindError

if TYPE_CHECKING:
    from environments.lab.cloud import Cloud

KIND_SECONDS: Final = 30.0
FORCE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.2
MADE_BY_TEMPLATES: Final = "constraints.gatekeeper.sh"
Body = dict[str, Any]


def await_kind(cloud: Cloud, body: Body) -> str:
    """The path at which objects like `body` are created; a constraint's kind is waited for, since its template makes it.

    Raises:
        UnknownKindError: the cloud has no such kind.
        BadInputError: the object needs a namespace and names none.
    """
    seconds = KIND_SECONDS if _group(body) == MADE_BY_TEMPLATES else 0.0
    deadline = time.monotonic() + seconds
    while True:
        try:
            return cloud.kinds.collection(body)
        except UnknownKindError as error:
            if time.monotonic() >= deadline:
                raise UnknownKindError(error.message, hint=HINTS.get(_group(body), error.hint)) from None
        time.sleep(POLL_SECONDS)


def await_force(cloud: Cloud, path: str, body: Body) -> None:
    """Wait until the object at `path`, if it is a policy of an engine's, is enforced on `cloud`.

    Raises:
        BadInputError: the engine cannot use it, and says why.
        FootprintError: it does not get to it in time.
    """
    in_force = IN_FORCE.get(_group(body))
    if in_force is None:
        return
    what, deadline = f"{body['kind']} {body['metadata']['name']}", time.monotonic() + FORCE_SECONDS
    while True:
        now = cloud.request("GET", path, what)
        status = now.get("status") or {}
        if in_force(status, now["metadata"].get("generation", 0)):
            return
        if said := _complaints(status):
            raise BadInputError(f"{cloud.name}: {what}: {said}", hint="Mend it, and apply it again.")
        if time.monotonic() > deadline:
            raise FootprintError(f"{cloud.name} does not bring {what} into force.", hint="Look with: mod209 status LAB")
        time.sleep(POLL_SECONDS)


def _group(body: Body) -> str:
    return str(body["apiVersion"]).partition("/")[0]


def _created(status: Body, generation: int) -> bool:
    return bool(status.get("created")) and _seen(status, generation) and not _complaints(status)


def _enforced(status: Body, generation: int) -> bool:
    return _seen(status, generation) and all(pod.get("enforced") for pod in status["byPod"])


def _seen(status: Body, generation: int) -> bool:
    """Whether each pod of the engine has looked at this very version."""
    pods = status.get("byPod") or ()
    return bool(pods) and all(pod.get("observedGeneration") == generation for pod in pods)


def _asked(status: Body, _: int) -> bool:
    """Whether the API server asks Kyverno about it. Its `ready` also wants rights for reports, which nobody reads here."""
    conditions = (status.get("conditionStatus") or {}).get("conditions") or ()
    return any(one.get("type") == "WebhookConfigured" and one.get("status") == "True" for one in conditions)


def _complaints(status: Body) -> str:
    """What the engine's pods say is wrong."""
    found = (one for pod in status.get("byPod") or () for one in pod.get("errors") or ())
    return "; ".join(dict.fromkeys(str(one.get("message") or one.get("code")) for one in found))[:500]


_MISSING: Final = "It comes with: mod209 up LAB --provider kind --engine {}."
HINTS: Final = {
    "templates.gatekeeper.sh": _MISSING.format("gatekeeper"),
    MADE_BY_TEMPLATES: "Apply the template that makes it first, and look at its crd.spec.names.kind.",
    "policies.kyverno.io": _MISSING.format("kyverno"),
}
IN_FORCE: Final[dict[str, Callable[[Body, int], bool]]] = {
    "templates.gatekeeper.sh": _created,
    MADE_BY_TEMPLATES: _enforced,
    "policies.kyverno.io": _asked,
}
