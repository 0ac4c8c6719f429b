"""Probes of rights: a cloud's API server says whether a subject may do one thing, by SubjectAccessReviews."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from environments.platform import platform
from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.dangers import Granted, granted, kinds, needs_of
from environments.probes.facts import render
from environments.probes.kinds.rights import ReviewProbe
from environments.probes.observation import ALLOWED, REFUSED, Finding, UnreachableError, brief
from environments.probes.wire import Wire
from environments.rights import REVIEWS, Ask, ask_of, persona, review

NEWCOMER: Final = "created-tomorrow"  # an account that nobody has bound
SHOWN: Final = 4  # rights that a finding names


def ask_needs(case: Case, wire: Wire) -> Finding:
    """Ask about each single thing that the subject's task needs."""
    asks = needs_of(case.subject)
    lacking = [ask for ask in asks if not may(wire, case.cloud, case.subject, ask)]
    return Finding(
        request=f"{case.subject} on {case.cloud}: the {len(asks)} things that its task needs",
        expected=ALLOWED,
        got=REFUSED if lacking else ALLOWED,
        detail=listed(lacking),
        ok=not lacking,
    )


def ask_review(probe: ReviewProbe, case: Case, wire: Wire) -> Finding:
    """Ask about things that the subject must not do. Refusals count only where it can do something of what it needs."""
    namespaces = places(render(probe.namespaces, case.facts), case.subject)
    request = (
        f"{case.subject} on {case.cloud}: {' or '.join(probe.verbs)} {', '.join(probe.resources)}{_where(namespaces)}"
    )
    if fault := without_use(case, wire):
        return Finding(request=request, expected=REFUSED, got="not usable", detail=fault, ok=False)
    asks = list(_asks(probe, namespaces, render(probe.name, case.facts), case.subject))
    through = [ask for ask in asks if may(wire, case.cloud, case.subject, ask)]
    through = [ask for ask in through if not _everybodys(wire, case, ask)]
    got = ALLOWED if through else REFUSED
    return Finding(request=request, expected=REFUSED, got=got, detail=listed(through), ok=not through)


def may(wire: Wire, cloud: str, who: str, ask: Ask) -> bool:
    """Whether the API server of `cloud` would let `who` do it. Asked once a run."""
    return wire.once(("review", cloud, who, ask), lambda: _review(wire, cloud, who, ask))


def without_use(case: Case, wire: Wire) -> str:
    """Why no refusal would say anything: the subject can do nothing of what it needs. Empty if it can.

    For who needs nothing, it is those who need something that must be able to do some of it.
    """
    mine = needs_of(case.subject)
    if any(may(wire, case.cloud, case.subject, ask) for ask in mine):
        return ""
    if mine:
        return "It can do nothing of what its task needs either, so a refusal says nothing."
    if any(may(wire, case.cloud, need.who, ask) for need in platform().needs for ask in need.asks()):
        return ""
    return "Nobody can do anything on this cloud, so a refusal says nothing."


def places(named: Iterable[str], who: str) -> list[str]:
    """Namespaces by their words: `each`, `own`, `others` and `cluster` (which is "") stand for what they say."""
    everywhere, own = platform().namespaces, who.partition("/")[0]
    others = [name for name in everywhere if name != own]
    words = {"each": everywhere, "own": [own], "others": others, "cluster": [""]}
    return list(dict.fromkeys(place for name in named for place in words.get(name, [name])))


def listed(asks: Sequence[object]) -> str:
    """The first few, and how many more there are."""
    more = f", and {len(asks) - SHOWN} more" if len(asks) > SHOWN else ""
    return ", ".join(map(str, asks[:SHOWN])) + more


def _everybodys(wire: Wire, case: Case, ask: Ask) -> bool:
    """Whether a subject of the table may do it only as everybody may, and it is mere excess: that counts for ZT-6.5 alone."""
    who = case.subject
    if not needs_of(who) or kinds(who, Granted(**ask.__dict__)) != {"excess"}:
        return False
    return may(wire, case.cloud, f"{who.partition('/')[0]}/{NEWCOMER}" if "/" in who else "somebody", ask)


def _asks(probe: ReviewProbe, namespaces: Iterable[str], name: str, who: str) -> Iterator[Ask]:
    for namespace in namespaces:
        for resource in probe.resources:
            for verb in probe.verbs:
                ask = ask_of(verb, resource, namespace, name)
                if not granted(who, ask):
                    yield ask


def _review(wire: Wire, cloud: str, who: str, ask: Ask) -> bool:
    answer = wire.clients.kube(cloud, "POST", REVIEWS, review(*persona(who), ask))
    allowed = json_of(answer).get("status", {}).get("allowed")
    if answer.is_error or not isinstance(allowed, bool):
        raise UnreachableError(f"{cloud} does not say who may do what: {brief(message_of(answer))}")
    return allowed


def _where(namespaces: Sequence[str]) -> str:
    if namespaces == [""]:
        return " in the whole cluster"
    return f" in {', '.join(name or 'the whole cluster' for name in namespaces)}"
