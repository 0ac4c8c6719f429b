"""What each kind of probe is about: the capability that it needs, and how it is asked. A new kind joins by one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from environments.labspec import Capability
from environments.probes import model
from environments.probes.admission import ask_admission
from environments.probes.cases import Case
from environments.probes.certificates import ask_certificate
from environments.probes.encryption import ask_table
from environments.probes.handshakes import ask_handshake
from environments.probes.identity import ask_lifetime, ask_login
from environments.probes.observation import Finding
from environments.probes.reachability import ask_reach
from environments.probes.secrets import ask_capabilities, ask_secret
from environments.probes.wire import Wire


@dataclass(frozen=True)
class Subject:
    """One kind of probe; `ask` takes the probe, which is of this kind, its case and the way to the servers."""

    needs: Capability
    ask: Callable[[Any, Case, Wire], Finding]


SUBJECTS: Final[Mapping[type[model.BaseProbe], Subject]] = {
    model.LoginProbe: Subject("identity", ask_login),
    model.LifetimeProbe: Subject("identity", ask_lifetime),
    model.SecretProbe: Subject("secrets", ask_secret),
    model.CapabilitiesProbe: Subject("secrets", ask_capabilities),
    model.AdmissionProbe: Subject("admission", ask_admission),
    model.ReachProbe: Subject("traffic", ask_reach),
    model.CertificateProbe: Subject("secrets", ask_certificate),
    model.HandshakeProbe: Subject("secrets", ask_handshake),
    model.TableProbe: Subject("secrets", ask_table),
}


def subject_of(probe: model.Probe) -> Subject:
    """The subject of a probe."""
    return SUBJECTS[type(probe)]
