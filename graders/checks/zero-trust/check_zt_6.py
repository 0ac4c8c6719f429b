"""ZT-6, IAM for pipelines: what people and pipelines may do on each cloud."""

from __future__ import annotations

from graders.judge.evidence import Evidence
from graders.judge.marks import check


@check("ZT-6.1")
def check_everybody_can_work(evidence: Evidence) -> None:
    """Every subject can do what its task needs, on every cloud.

    Compare `lab.needs` with what `cloud.can(...)` answers. Does the binding name the subject as Kubernetes does: an account
    with its own namespace, whatever namespace the binding is in?
    """
    evidence.demand("allowed")


@check("ZT-6.2")
def check_nobody_has_more(evidence: Evidence) -> None:
    """No subject has a right that the table does not give it, and nobody else holds a role.

    Rights add up: one binding that was left is enough, and a `*` grants what does not exist yet. What is worse than too
    much (ways to more rights, ways into what others run, rights of everybody) counts in the next three checks.
    """
    evidence.demand("refused", "bounded")


@check("ZT-6.3")
def check_nobody_escalates(evidence: Evidence) -> None:
    """No subject can come to have more rights than it has.

    Writing or binding roles, the verbs `bind`, `escalate` and `impersonate`, tokens of other accounts, approval of
    certificates, and webhooks all lead there. Look also at what is bound in the whole cluster.
    """
    evidence.demand("refused", "bounded")


@check("ZT-6.4")
def check_nobody_gets_in(evidence: Evidence) -> None:
    """No subject gets into pods and secrets that are not its own.

    Subresources are resources of their own: `pods/exec` is not `pods`. `nodes/proxy` enters every pod of a node. And who
    may create or change what runs in a namespace has every account of that namespace.
    """
    evidence.demand("refused", "bounded")


@check("ZT-6.5")
def check_everybody_has_nothing(evidence: Evidence) -> None:
    """Belonging to everybody gives nobody a right: `system:authenticated`, `system:unauthenticated`, `system:serviceaccounts`.

    A pod that is created tomorrow is in `system:serviceaccounts:<namespace>` today. Bind accounts by their names.
    """
    evidence.demand("refused", "bounded")
