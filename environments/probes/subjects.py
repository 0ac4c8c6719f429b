"""What each kind of probe is about: the capability that it needs, and how it is asked. A new kind joins by one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from environments.labspec import Capability
from environments.probes.admission import ask_admission
from environments.probes.cases import Case
from environments.probes.certificates import ask_certificate
from environments.probes.encryption import ask_table
from environments.probes.handshakes import ask_handshake
from environments.probes.identity import ask_lifetime, ask_login
from environments.probes.kinds.admission import AdmissionProbe
from environments.probes.kinds.base import BaseProbe
from environments.probes.kinds.identity import LifetimeProbe, LoginProbe
from environments.probes.kinds.rights import NeedsProbe, ReviewProbe, RulesProbe
from environments.probes.kinds.rotation import PushCertificateProbe, RotationProbe
from environments.probes.kinds.secrets import CapabilitiesProbe, SecretProbe
from environments.probes.kinds.table import TableProbe
from environments.probes.kinds.traffic import CertificateProbe, HandshakeProbe, ReachProbe
from environments.probes.model import Probe
from environments.probes.observation import Finding
from environments.probes.reachability import ask_reach
from environments.probes.rotation import ask_push
from environments.probes.rules import ask_rights
from environments.probes.secrets import ask_capabilities, ask_secret
from environments.probes.wire import Wire


@dataclass(frozen=True)
class Subject:
    """One kind of probe; `ask` takes the probe, which is of this kind, its case and the way to the servers."""

    needs: Capability
    ask: Callable[[Any, Case, Wire], Finding]


SUBJECTS: Final[Mapping[type[BaseProbe], Subject]] = {
    LoginProbe: Subject("identity", ask_login),
    LifetimeProbe: Subject("identity", ask_lifetime),
    SecretProbe: Subject("secrets", ask_secret),
    CapabilitiesProbe: Subject("secrets", ask_capabilities),
    AdmissionProbe: Subject("admission", ask_admission),
    ReachProbe: Subject("traffic", ask_reach),
    CertificateProbe: Subject("secrets", ask_certificate),
    HandshakeProbe: Subject("secrets", ask_handshake),
    TableProbe: Subject("secrets", ask_table),
    RotationProbe: Subject("secrets", ask_push),
    PushCertificateProbe: Subject("secrets", ask_push),
    NeedsProbe: Subject("identity", ask_rights),
    ReviewProbe: Subject("identity", ask_rights),
    RulesProbe: Subject("identity", ask_rights),
}


def subject_of(probe: Probe) -> Subject:
    """The subject of a probe."""
    return SUBJECTS[type(probe)]
