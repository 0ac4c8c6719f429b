"""ZT-3, admission policy: which objects a cloud takes, and why it refuses the others."""

from __future__ import annotations

from graders.judge.evidence import Evidence
from graders.judge.marks import check


@check("ZT-3.1")
def check_compliant_workloads_are_admitted(evidence: Evidence) -> None:
    """Work that breaks no rule must be admitted, on every cloud, whatever it is wrapped in.

    Read the message of the refusal: it begins with the rule that objected. Fields that are absent, and values that are
    spelled out but harmless, are no reason to refuse. A platform that admits everything has no policy, and earns nothing.
    """
    evidence.demand("allowed", "refused")


@check("ZT-3.2")
def check_images_need_a_digest(evidence: Evidence) -> None:
    """An image must be named by its whole digest, at the end of its name, in every container.

    Try your rule on names that merely contain something like a digest. Is what you match tied to both ends?
    """
    evidence.demand("refused")


@check("ZT-3.3")
def check_images_come_from_the_own_registry(evidence: Evidence) -> None:
    """Images must come from the registry of the cloud that they run on, and from no name that looks like it.

    Write down where a registry's name ends inside an image's name. An attacker can choose everything after that, and in
    other domains everything before it.
    """
    evidence.demand("refused")


@check("ZT-3.4")
def check_nothing_privileged_runs(evidence: Evidence) -> None:
    """No pod may reach its node: not by a privileged container, not by the host's namespaces, not by its disk.

    The task lists them all. Some belong to containers and some to the pod; lists have more than a first item.
    """
    evidence.demand("refused")


@check("ZT-3.5")
def check_init_and_ephemeral_containers(evidence: Evidence) -> None:
    """Containers that run before, or are put in later, run with the same account as the others.

    A pod has three lists of containers. The last one is empty until somebody debugs a pod that runs already: which
    operation is that?
    """
    evidence.demand("refused")


@check("ZT-3.6")
def check_every_kind_of_template(evidence: Evidence) -> None:
    """Every kind of object that makes pods must be held to the rules, not only the pods that it makes.

    List the kinds, and for each the place where its pod template sits. They do not all sit at the same depth.
    """
    evidence.demand("refused")


@check("ZT-3.7")
def check_default_account_is_refused(evidence: Evidence) -> None:
    """A workload must name an account of its own.

    Naming none means the default one. The API server fills that in for pods only: what does a template look like?
    """
    evidence.demand("refused")


@check("ZT-3.8")
def check_data_label_is_required(evidence: Evidence) -> None:
    """Every pod must carry one of the known labels of data.

    A label can be absent, empty, misspelled, or on something other than the pod.
    """
    evidence.demand("refused")


@check("ZT-3.9")
def check_health_data_stays(evidence: Evidence) -> None:
    """Health data may run in the allowed regions of the cloud and nowhere else.

    Name what is allowed rather than what is forbidden. A pod that does not say where it runs can run anywhere.
    """
    evidence.demand("refused")


@check("ZT-3.10")
def check_updates_are_held_to_the_rules(evidence: Evidence) -> None:
    """What was compliant when it was created must stay so.

    Change a stored object, image by image and label by label. Which operations do your rules look at?
    """
    evidence.demand("refused")
