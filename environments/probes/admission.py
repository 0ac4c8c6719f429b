"""Probes of admission: which objects a cloud takes, and for which reason it refuses the others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import httpx

from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.facts import render
from environments.probes.guise import Guise, first_turn, guise
from environments.probes.kinds.admission import AdmissionProbe
from environments.probes.observation import ALLOWED, REFUSED, Finding, UnreachableError, brief
from environments.probes.pods import SHAPES, Object, good_template, laid_over, template_in, with_template, wrapped
from environments.probes.wire import Wire, random_name

CONFLICTS: Final = 20  # on kind, controllers and the kubelet write too, most of all at the beginning
DENIALS: Final = (("admission webhook", "denied the request"), ("ValidatingAdmissionPolicy", "denied request"))
WEBHOOK_FAILS: Final = "failed calling webhook"
# A slow policy looks the same as a busy machine: no ground to take points.
WEBHOOK_GONE: Final = (
    "connection refused",
    "no such host",
    "connection reset",
    "certificate",
    "deadline exceeded",
    "Client.Timeout",
)
OUR_RIGHTS: Final = (
    "cannot impersonate",
    "cannot create resource",
    "cannot update resource",
    "cannot patch resource",
    "cannot get resource",
)
VERBS: Final = {"create": "create", "update": "update", "ephemeral": "add an ephemeral container to"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the cloud decided; `message` is its reason, whole."""

    decision: str
    message: str = ""


def ask_admission(probe: AdmissionProbe, case: Case, wire: Wire) -> Finding:
    """Send the object; where it must be refused, its twin without the fault too."""
    twin = wire.once(_twin_key(probe, case), lambda: _send(probe, case, wire, faulty=False))
    if probe.expect == ALLOWED:
        return _finding(probe, case, twin, ok=twin.decision == ALLOWED, detail=brief(twin.message))
    if twin.decision != ALLOWED:
        detail = f"The same request without the fault is not allowed, so a refusal says nothing: {brief(twin.message)}"
        return _finding(probe, case, twin, ok=False, detail=detail)
    answer = _send(probe, case, wire, faulty=True)
    if answer.decision != REFUSED:
        return _finding(probe, case, answer, ok=False, detail=brief(answer.message))
    named = any(f"[{probe.task}/{rule}]" in answer.message for rule in probe.rules)
    reason = "" if named else "The message does not name the rule: "
    return _finding(probe, case, answer, ok=named, detail=f"{reason}{brief(answer.message)}")


def _send(probe: AdmissionProbe, case: Case, wire: Wire, *, faulty: bool) -> Answer:
    looks = _looks(probe, case, wire, faulty=faulty)
    if probe.verb == "create":
        return _create(case, wire, _object(probe, case, faulty=faulty), looks)
    # What is not a dry run changes the object, so that it is of no use to others.
    own = () if looks.dry_run else (probe.id, faulty)
    key = ("stored", case.cloud, case.kind, case.workload.role, *own)
    stored, name = wire.once(key, lambda: _store(case, wire, key))
    return _update(probe, case, wire, name, looks, faulty=faulty) if stored.decision == ALLOWED else stored


def _looks(probe: AdmissionProbe, case: Case, wire: Wire, *, faulty: bool) -> Guise:
    """A twin's looks are drawn for all that share it: whoever comes first asks."""
    update = probe.verb != "create"
    if faulty:
        return _guise(case, wire, case.turn, dry_run=probe.dry_run, refused=True, update=update)
    turn = first_turn(wire.seed, *_twin_key(probe, case))
    return _guise(case, wire, turn, dry_run=probe.dry_run, refused=False, update=update)


def _guise(case: Case, wire: Wire, turn: int, **looks: bool) -> Guise:
    return guise(wire.access.clouds[case.cloud].people, turn, **looks)


def _create(case: Case, wire: Wire, whole: Object, looks: Guise) -> Answer:
    shape, namespace = SHAPES[case.kind], case.facts["namespace"]
    answer = wire.clients.kube(case.cloud, "POST", shape.path(namespace), whole, looks.who, **looks.params())
    if answer.is_success and not looks.dry_run:
        wire.clean_up_later(shape.path(namespace, whole["metadata"]["name"]), case.cloud)
    return decision_in(case.cloud, answer)


def _store(case: Case, wire: Wire, key: tuple[object, ...]) -> tuple[Answer, str]:
    """Create a compliant object for updates to work on; its name."""
    name = random_name(case.facts["account"])
    whole = wrapped(case.kind, name, case.facts["namespace"], good_template(case), {})
    looks = _guise(case, wire, first_turn(wire.seed, *key), dry_run=False, refused=False)
    return _create(case, wire, whole, looks), name


def _update(probe: AdmissionProbe, case: Case, wire: Wire, name: str, looks: Guise, *, faulty: bool) -> Answer:
    shape = SHAPES[case.kind]
    path = shape.path(case.facts["namespace"], name)
    subresource = "/ephemeralcontainers" if probe.verb == "ephemeral" else ""
    for _ in range(CONFLICTS):
        current = json_of(wire.clients.kube(case.cloud, "GET", path))
        if "spec" not in current:
            raise UnreachableError(f"A stored {case.kind} is gone from {case.cloud}.")
        template = _changed(probe, case, template_in(current, shape), faulty=faulty)
        whole = laid_over(with_template(current, shape.template, template), render(probe.owner, case.facts))
        answer = wire.clients.kube(case.cloud, "PUT", path + subresource, whole, looks.who, **looks.params())
        if answer.status_code != httpx.codes.CONFLICT:  # else a controller wrote in between
            break
    return decision_in(case.cloud, answer)


def _object(probe: AdmissionProbe, case: Case, *, faulty: bool) -> Object:
    template = _changed(probe, case, good_template(case), faulty=faulty)
    name = random_name(case.facts["account"])
    return wrapped(case.kind, name, case.facts["namespace"], template, render(probe.owner, case.facts))


def _changed(probe: AdmissionProbe, case: Case, template: Object, *, faulty: bool) -> Object:
    changed = laid_over(template, render(probe.with_, case.facts))
    whole: Object = laid_over(changed, render(probe.fault, case.facts)) if faulty else changed
    return whole


def _twin_key(probe: AdmissionProbe, case: Case) -> tuple[object, ...]:
    overlays = json.dumps(render([probe.with_, probe.owner], case.facts), sort_keys=True)
    return ("twin", case.cloud, case.kind, case.workload.role, probe.verb, probe.dry_run, overlays)


def decision_in(cloud: str, answer: httpx.Response) -> Answer:
    """Tell the decision of admission from answers that are none.

    Raises:
        UnreachableError: the request never came so far, or nobody is there to decide.
    """
    if answer.is_success:
        return Answer(decision=ALLOWED)
    message = message_of(answer)
    if any(who in message and what in message for who, what in DENIALS):
        return Answer(decision=REFUSED, message=message)
    if WEBHOOK_FAILS in message:
        if any(sign in message for sign in WEBHOOK_GONE):
            raise UnreachableError(f"OPA of {cloud} did not answer: {brief(message)}")
        return Answer(decision="error", message=f"The policy could not be evaluated: {message}")
    if answer.status_code != httpx.codes.FORBIDDEN or any(right in message for right in OUR_RIGHTS):
        raise UnreachableError(f"{cloud} did not take the request to admission: {answer.status_code} {brief(message)}")
    return Answer(decision=REFUSED, message=message)  # by something else, such as a quota


def _finding(probe: AdmissionProbe, case: Case, answer: Answer, *, ok: bool, detail: str) -> Finding:
    expected = (
        probe.expect
        if probe.expect == ALLOWED
        else f"{REFUSED} {' or '.join(f'[{probe.task}/{r}]' for r in probe.rules)}"
    )
    return Finding(request=_request(probe, case), expected=expected, got=answer.decision, detail=detail, ok=ok)


def _request(probe: AdmissionProbe, case: Case) -> str:
    overlay = render(laid_over(probe.with_, probe.fault), case.facts)
    change = f", with {_flat(overlay)}" if overlay else ""
    return f"{VERBS[probe.verb]} a {case.kind} of {case.facts['namespace']}/{case.facts['account']} on {case.cloud}{change}"


def _flat(overlay: Object) -> str:
    return json.dumps(overlay, ensure_ascii=False).replace('"', "")
