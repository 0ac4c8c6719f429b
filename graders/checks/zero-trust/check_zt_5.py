"""ZT-5, secret rotation without downtime: what clients met, and what is left of the old credentials."""

from __future__ import annotations

from graders.judge.evidence import Evidence
from graders.judge.marks import check


@check("ZT-5.1")
def check_no_call_fails(evidence: Evidence) -> None:
    """Clients must be able to work on every cloud while their credential is rotated, without one failed call.

    Two secret ids of a role are valid side by side. When may the old one go, if a client goes on for a while with what
    it has read? The rotation has to happen on all clouds inside one `with lab.watch() as watch:`.
    """
    evidence.demand("allowed")


@check("ZT-5.2")
def check_a_new_credential_is_in_use(evidence: Evidence) -> None:
    """The credential that lies in kv must be new, and must let its bearer in, on every cloud.

    A new version in kv is not yet a new secret: look at what you write there, and log in with it yourself.
    """
    evidence.demand("allowed")


@check("ZT-5.3")
def check_the_old_credential_is_dead(evidence: Evidence) -> None:
    """When the rotation is over, no secret id but the one in use may be valid, and no earlier version in kv readable.

    Destroy the old secret id at the role, and the old version in kv; deleting a version only hides it.
    """
    evidence.demand("refused")


@check("ZT-5.4")
def check_the_leaked_credential_is_dead(evidence: Evidence) -> None:
    """The secret id that the incident report names must be refused on every cloud, while the one in use works.

    Nobody of yours works with it, so there is nothing to wait for.
    """
    evidence.demand("refused")


@check("ZT-5.5")
def check_certificates_are_short_lived(evidence: Evidence) -> None:
    """The role `push` of every cloud must issue push jobs a certificate that lives for an hour at most.

    That holds whatever `ttl` a job asks for. The role's own `ttl` is what a certificate gets if nobody asks; another
    setting bounds what may be asked. The names of the jobs end in `.registry.<cloud>.mod209.example`.
    """
    evidence.demand("allowed", "bounded")


@check("ZT-5.6")
def check_the_leaked_certificate_is_revoked(evidence: Evidence) -> None:
    """A server that checks the cloud's CRL must refuse the leaked certificate, and take the other jobs' certificates.

    Compare SHA-256 over the certificate's DER bytes with the fingerprint of the report, on each cloud.
    """
    evidence.demand("refused", "allowed")
