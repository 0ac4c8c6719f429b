"""From probes to single requests: each probe for each cloud, workload and target that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from environments.access import Access
from environments.platform import Workload, platform
from environments.probes.facts import facts_of, pick, render
from environments.probes.guise import first_turn
from environments.probes.kinds.admission import AdmissionProbe
from environments.probes.kinds.identity import LoginProbe
from environments.probes.kinds.rights import BaseRightsProbe
from environments.probes.kinds.secrets import SecretProbe
from environments.probes.kinds.table import TableProbe
from environments.probes.kinds.traffic import CertificateProbe, HandshakeProbe
from environments.probes.model import Probe


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request to be: `workload` of `cloud` asks; `target` of `target_cloud` is whose token or secret it is about.

    `turn` counts the requests of one check on one cloud, from a number that the seed draws. `subject` is who it is about, where
    that is not a workload.
    """

    probe: Probe
    cloud: str
    workload: Workload
    target_cloud: str
    target: Workload
    kind: str
    facts: Mapping[str, str]
    turn: int = 0
    subject: str = ""


def cases_of(access: Access, seed: bytes, probes: Iterable[Probe]) -> Iterator[Case]:
    """Every request that `probes` stand for."""
    turns: dict[tuple[str, str], int] = {}
    for case in _unnumbered(access, seed, probes):
        key = (case.probe.check, case.cloud)
        turns[key] = turns[key] + 1 if key in turns else first_turn(seed, *key)
        yield replace(case, turn=turns[key])


def _unnumbered(access: Access, seed: bytes, probes: Iterable[Probe]) -> Iterator[Case]:
    for probe in probes:
        for cloud in probe.clouds or access.clouds:
            for workload in _workloads(probe, seed, cloud):
                facts = facts_of(access, seed, probe.id, cloud, workload)
                case = Case(
                    probe=probe,
                    cloud=cloud,
                    workload=workload,
                    target_cloud=cloud,
                    target=workload,
                    kind="",
                    facts=facts,
                )
                yield from _spread(case, list(access.clouds), seed)


def _workloads(probe: Probe, seed: bytes, cloud: str) -> list[Workload]:
    everyone = platform().workloads
    if probe.workload == "each":
        return everyone
    if probe.workload == "any":
        # One for all probes of a check: then they share twins, and a run is half as long.
        return [pick(everyone, seed, "workload", probe.check, cloud)]
    return [workload for workload in everyone if f"{workload.namespace}/{workload.account}" == probe.workload]


def _spread(case: Case, clouds: list[str], seed: bytes) -> Iterator[Case]:
    match case.probe:
        case LoginProbe() as probe:
            for cloud in [case.cloud] if probe.token.cloud == "own" else _without(clouds, case.cloud):
                yield from _at(case, cloud, [case.workload] if probe.token.holder == "own" else _peers(case.workload))
        case HandshakeProbe() as probe:
            elsewhere = probe.client == "elsewhere"
            for cloud in _without(clouds, case.cloud) if elsewhere else [case.cloud]:
                yield from _at(case, cloud, _callers(probe, case, seed))
        case SecretProbe(of="others") | CertificateProbe(of="others"):
            yield from _at(case, case.cloud, _peers(case.workload))
        case SecretProbe(of="elsewhere") | CertificateProbe(of="elsewhere") | TableProbe(of="elsewhere"):
            for cloud in _without(clouds, case.cloud):
                yield from _at(case, cloud, [case.workload])
        case SecretProbe(of="far"):
            words = (case.probe.id, case.cloud, case.workload.role)
            cloud = pick(_without(clouds, case.cloud), seed, "far-cloud", *words)
            yield from _at(case, cloud, [pick(_peers(case.workload), seed, "far", *words)])
        case BaseRightsProbe() as probe:
            yield from (replace(case, subject=who) for who in subjects(probe.who, case.facts))
        case AdmissionProbe() as probe:
            yield from (replace(case, kind=kind) for kind in probe.as_)
        case _:
            yield case


def subjects(who: Iterable[str], facts: Mapping[str, str]) -> list[str]:
    """The subjects that `who` stands for, each once."""
    named = ([need.who for need in platform().needs] if one == "each" else [render(one, facts)] for one in who)
    return list(dict.fromkeys(one for names in named for one in names))


def _at(case: Case, cloud: str, targets: Iterable[Workload]) -> Iterator[Case]:
    for target in targets:
        facts = {
            **case.facts,
            "target": target.secret(cloud),
            "target_cloud": cloud,
            "target_role": target.role,
            "target_identity": target.identity(cloud),
        }
        yield replace(case, target_cloud=cloud, target=target, facts=facts)


def _callers(probe: HandshakeProbe, case: Case, seed: bytes) -> list[Workload]:
    """Who comes to the endpoint of the case's workload; of those who may call it one, if it is not about their names."""
    may = platform().callers(case.workload)
    if probe.client == "others":
        return [peer for peer in _peers(case.workload) if peer not in may]
    if probe.expect == "allowed" or not may:
        return may
    return [pick(may, seed, "caller", probe.id, case.cloud, case.workload.role)]


def _peers(workload: Workload) -> list[Workload]:
    return [peer for peer in platform().workloads if peer != workload]


def _without(clouds: list[str], cloud: str) -> list[str]:
    return [other for other in clouds if other != cloud]
