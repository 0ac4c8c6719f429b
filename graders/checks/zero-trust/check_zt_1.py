"""ZT-1, identity federation: who gets a Vault token for which service-account token."""

from __future__ import annotations

from graders.judge.evidence import Evidence
from graders.judge.marks import check


@check("ZT-1.1")
def check_own_tokens_log_in(evidence: Evidence) -> None:
    """Every workload must be able to log in with the token of its own cloud.

    Log in by hand with `lab.vault_login` and read Vault's answer: it names the claim, key or role that does not fit.
    Look at all clouds, not only the first one, and at all workloads.
    """
    evidence.demand("allowed")


@check("ZT-1.2")
def check_other_issuers_are_refused(evidence: Evidence) -> None:
    """A token that another cloud, or nobody, has signed must not open this cloud's mount.

    Ask which keys each mount trusts, and which issuer it believes. Clouds are trust domains: what happens if one of
    them is taken over?
    """
    evidence.demand("refused")


@check("ZT-1.3")
def check_other_audiences_are_refused(evidence: Evidence) -> None:
    """A token that was made for somebody else must not open Vault.

    Every pod holds a token for its API server. Compare the audiences that your roles accept with the one that only
    tokens for Vault carry.
    """
    evidence.demand("refused")


@check("ZT-1.4")
def check_other_accounts_are_refused(evidence: Evidence) -> None:
    """A role belongs to one account of one namespace; genuine tokens of all others must be refused.

    Decode two tokens and compare their claims. Which of them together name exactly one workload? Does a pattern in
    your role match more names than you thought of?
    """
    evidence.demand("refused")


@check("ZT-1.5")
def check_recreated_accounts_are_refused(evidence: Evidence) -> None:
    """An account that was deleted and made again under the same name is another account.

    Names can be taken over by whoever may create accounts. Look in a token for what Kubernetes never gives twice.
    """
    evidence.demand("refused")


@check("ZT-1.6")
def check_vault_tokens_are_short_lived(evidence: Evidence) -> None:
    """A Vault token must die within the hour, however often it is renewed.

    Renew a token as a thief would and look at its lease. A first lease, a longest life and a period are three settings.
    """
    evidence.demand("bounded")
