"""Ask all probes of a footprint, many at a time, and bring back what was observed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor

from environments.access import Access
from environments.labspec import Capability
from environments.probes.admission import ask_admission
from environments.probes.cases import Case, cases_of
from environments.probes.clients import Clients
from environments.probes.identity import ask_lifetime, ask_login
from environments.probes.model import (
    AdmissionProbe,
    CapabilitiesProbe,
    CertificateProbe,
    LifetimeProbe,
    LoginProbe,
    Probe,
    RotationProbe,
    SecretProbe,
)
from environments.probes.observation import NOT_ASKED, BrokenError, Finding, Observation, UnreachableError
from environments.probes.rotation import ask_push
from environments.probes.secrets import ask_capabilities, ask_secret
from environments.probes.wire import Wire

THREADS = 8  # more only wait for each other: a request is mostly work, here and at the server
# API servers compile a new ValidatingAdmissionPolicy within a second or so: an answer before that is not the last word.
SETTLE_SECONDS = 1.5
log = logging.getLogger(__name__)


class Prober:
    """Asks probes with the credentials of `access`.

    `capabilities` is what the footprint's provider can do; `seed` draws names, digests and who asks. Two runs with one
    seed send the same requests, but for random names of objects.
    """

    def __init__(self, access: Access, capabilities: Iterable[Capability], seed: bytes) -> None:
        self._access = access
        self._capabilities = frozenset(capabilities)
        self._seed = seed

    def run(self, probes: Iterable[Probe]) -> list[Observation]:
        """Ask every probe, destructive ones last, and delete what was stored for it.

        What cannot be asked comes back with `ok` None, never as an exception: servers that do not answer, capabilities
        that the provider lacks, and destructive probes if the access is not the judge's.
        """
        cases = list(cases_of(self._access, self._seed, probes))
        with Clients(self._access) as clients, ThreadPoolExecutor(THREADS) as pool:
            wire = Wire(self._access, clients, self._seed)
            try:
                found = self._ask_all(wire, pool, [case for case in cases if not case.probe.destroys])
                return found + self._ask_all(wire, pool, [case for case in cases if case.probe.destroys])
            finally:
                wire.clean_up(pool)

    def _ask_all(self, wire: Wire, pool: Executor, cases: list[Case]) -> list[Observation]:
        start = time.monotonic()
        found = list(pool.map(lambda case: self._observe(wire, case), cases))
        again = [index for index, seen in enumerate(found) if _may_settle(cases[index], seen)]
        if again:
            time.sleep(max(0.0, start + SETTLE_SECONDS - time.monotonic()))
            wire.forget()
            renewed = pool.map(lambda index: self._observe(wire, cases[index]), again)
            for index, seen in zip(again, renewed, strict=True):
                found[index] = seen
        return found

    def _observe(self, wire: Wire, case: Case) -> Observation:
        start = time.monotonic()
        finding = self._ask(wire, case)
        return Observation(
            probe_id=case.probe.id,
            check=case.probe.check,
            task=case.probe.task,
            cloud=case.cloud,
            visible=case.probe.visible,
            why=case.probe.why,
            request=finding.request,
            expected=finding.expected,
            got=finding.got,
            detail=finding.detail,
            ok=finding.ok,
            seconds=time.monotonic() - start,
        )

    def _ask(self, wire: Wire, case: Case) -> Finding:
        capability = capability_of(case.probe)
        if capability not in self._capabilities:
            return _not_asked(case, f"This footprint has no {capability}.")
        if case.probe.destroys and self._access.role != "judge":
            return _not_asked(case, "Only the judge asks this: it would break what you are working on.")
        try:
            return _asker(case, wire)()
        except BrokenError as error:
            return Finding(
                request=_about(case), expected=_expected(case.probe), got="error", detail=str(error), ok=False
            )
        except UnreachableError as error:
            return _not_asked(case, str(error))
        except Exception as error:
            # A fault of ours in one probe must neither cost the learner points nor stop the other probes.
            log.exception("probe %s", case.probe.id)
            return _not_asked(case, f"The probe itself failed: {type(error).__name__}.")


def capability_of(probe: Probe) -> Capability:
    """What the provider must be able to do for `probe` to be asked."""
    match probe:
        case LoginProbe() | LifetimeProbe():
            return "identity"
        case SecretProbe() | CapabilitiesProbe() | RotationProbe() | CertificateProbe():
            return "secrets"
        case AdmissionProbe():
            return "admission"


def _asker(case: Case, wire: Wire) -> Callable[[], Finding]:
    match case.probe:
        case LoginProbe() as login:
            return lambda: ask_login(login, case, wire)
        case LifetimeProbe() as lifetime:
            return lambda: ask_lifetime(lifetime, case, wire)
        case SecretProbe() as secret:
            return lambda: ask_secret(secret, case, wire)
        case CapabilitiesProbe() as capabilities:
            return lambda: ask_capabilities(capabilities, case, wire)
        case AdmissionProbe() as admission:
            return lambda: ask_admission(admission, case, wire)
        case RotationProbe() | CertificateProbe() as push:
            return lambda: ask_push(push, case, wire)


def _may_settle(case: Case, seen: Observation) -> bool:
    return isinstance(case.probe, AdmissionProbe) and seen.ok is False


def _not_asked(case: Case, reason: str) -> Finding:
    return Finding(request=_about(case), expected=_expected(case.probe), got=NOT_ASKED, detail=reason, ok=None)


def _about(case: Case) -> str:
    return f"{case.probe.id} of {case.workload.namespace}/{case.workload.account} on {case.cloud}"


def _expected(probe: Probe) -> str:
    match probe:
        case LifetimeProbe():
            return f"at most {probe.seconds} s in all"
        case CapabilitiesProbe():
            return "no more than its task needs"
        case _:
            return probe.expect
