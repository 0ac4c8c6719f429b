"""Probes of what a cloud admits."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from environments.probes.kinds.base import BaseProbe, Decision, Tree

Kind = Literal[
    "Pod",
    "PodTemplate",
    "ReplicationController",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
]


class AdmissionProbe(BaseProbe):
    """An object with a pod template is created or updated on a cloud.

    The template is a compliant pod of the workload, changed by `with`, and where it must be refused also by `fault`
    (trees laid over it: null removes, lists are laid over item by item). The same request without `fault` is its twin:
    a refusal counts only if the twin is allowed. `owner` is laid over the object around the template. `rules` names the
    rules any of which may be given as reason. Verb `ephemeral` updates a stored pod's ephemeral containers. Where `dry_run`
    is true the judge asks now as a dry run, now not, as the seed draws.
    """

    kind: Literal["admission"]
    expect: Decision
    as_: list[Kind] = Field(default=["Pod"], alias="as", min_length=1)
    verb: Literal["create", "update", "ephemeral"] = "create"
    with_: Tree = Field(default_factory=dict, alias="with")
    fault: Tree = Field(default_factory=dict)
    owner: Tree = Field(default_factory=dict)
    rules: list[str] = Field(default_factory=list)
    workload: str = "any"
    dry_run: bool = True

    @model_validator(mode="after")
    def _fault_iff_refused(self) -> Self:
        if not bool(self.fault) == bool(self.rules) == (self.expect == "refused"):
            raise ValueError("a refused request needs a fault and the rules that it breaks; an allowed one has neither")
        if self.verb == "ephemeral" and self.as_ != ["Pod"]:
            raise ValueError("only a Pod has ephemeral containers")
        return self
