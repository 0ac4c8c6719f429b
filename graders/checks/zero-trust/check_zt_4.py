"""ZT-4, network and mutual TLS: which traffic flows, and who is let in where."""

from __future__ import annotations

from graders.judge.evidence import Evidence
from graders.judge.marks import check


@check("ZT-4.1")
def check_needed_flows_are_open(evidence: Evidence) -> None:
    """What the platform needs must flow: every line of the table of flows, on every cloud.

    Traffic needs the source's egress and the target's ingress. Of each flow that is refused, which end refuses it? DNS
    goes over UDP and TCP.
    """
    evidence.demand("allowed")


@check("ZT-4.2")
def check_nothing_else_is_open_inside(evidence: Evidence) -> None:
    """Between workloads, and pods that carry their labels, nothing but the needed flows may be open.

    Look at each rule: does it name ports and protocols? Do namespace and label stand in one item of the list, so that
    both must fit?
    """
    evidence.demand("refused")


@check("ZT-4.3")
def check_nothing_leaves_or_enters(evidence: Evidence) -> None:
    """Workloads have no business outside of the platform, and nobody outside has any with them.

    Which of your rules hold for addresses (`ipBlock`) or for every namespace? A rule without `to` or `from` means
    everybody, the metadata service among them.
    """
    evidence.demand("refused")


@check("ZT-4.4")
def check_strangers_are_isolated(evidence: Evidence) -> None:
    """A pod that no rule was written for must be isolated in both directions, in every namespace, on every cloud.

    A policy isolates only the pods that it selects, and only for the types that it names. Which one selects a pod without
    labels?
    """
    evidence.demand("refused")


@check("ZT-4.5")
def check_right_peers_are_let_in(evidence: Evidence) -> None:
    """Every workload must get a certificate of its identity, and be let in where it has a flow to.

    Ask as the workload: log in (ZT-1), then `pki-<cloud>/issue/<role>` with `uri_sans` alone. The certificate must be for
    clients and servers. Both ends read `mtls-peers` of their own namespace.
    """
    evidence.demand("allowed")


@check("ZT-4.6")
def check_wrong_identities_are_refused(evidence: Evidence) -> None:
    """Nobody else may be let in, and nobody may get a certificate that names anything but its own identity.

    What does each role of the PKI issue beside one exact SPIFFE id? What may a workload's policy ask of the engine? Which
    roots are in the bundle, and which names on the list?
    """
    evidence.demand("refused")
