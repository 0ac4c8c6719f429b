"""ZT-2, least-privilege secrets: what a logged-in workload can do in Vault."""

from __future__ import annotations

from graders.judge.evidence import Evidence
from graders.judge.marks import check


@check("ZT-2.1")
def check_own_secret_is_read(evidence: Evidence) -> None:
    """Every workload must be able to read its own secret.

    The secrets lie in a kv engine of version 2, whose API path is not the path that you see in lists. The login has to
    work first (ZT-1), and the role has to name the policy.
    """
    evidence.demand("allowed")


@check("ZT-2.2")
def check_neighbours_are_refused(evidence: Evidence) -> None:
    """A workload reads its own secret and none beside, above or below it.

    Say for each wildcard in your policies what else it covers. What begins like the workload's own path?
    """
    evidence.demand("refused")


@check("ZT-2.3")
def check_nothing_is_listed(evidence: Evidence) -> None:
    """A workload knows the path that it needs, so it must not list any.

    Listing is a capability of its own, on paths of its own. Where do yours grant it?
    """
    evidence.demand("refused")


@check("ZT-2.4")
def check_other_clouds_are_refused(evidence: Evidence) -> None:
    """A workload of one cloud must not read secrets of another, not even those of its twin there.

    Look at which part of the path names the cloud, and at whether your policies fix it.
    """
    evidence.demand("refused")


@check("ZT-2.5")
def check_own_secret_is_read_only(evidence: Evidence) -> None:
    """A workload uses its secret; it must not change, delete or bring back any version of it.

    Ask Vault with `capabilities-self` what the workload's token may do. A kv engine changes secrets by more than one path.
    """
    evidence.demand("refused", "bounded")


@check("ZT-2.6")
def check_no_power_over_vault(evidence: Evidence) -> None:
    """A workload must have no power over Vault itself: policies, roles, mounts, other tokens.

    Whoever can write a policy or a role has every secret. Nothing below `sys/` or `auth/` is a workload's business
    beyond looking after its own token.
    """
    evidence.demand("refused", "bounded")
