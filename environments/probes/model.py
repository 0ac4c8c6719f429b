"""Probes as data: what `probes/<task>.yaml` may say. Texts may hold `{placeholders}`; `facts.py` fills them in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from environments.errors import BadInputError
from environments.platform import platform
from environments.probes.facts import check_placeholders
from environments.rights import ask_of
from environments.yamlfile import Strict, load_yaml

Template = Annotated[str, AfterValidator(check_placeholders)]
Tree = Annotated[dict[str, Any], AfterValidator(check_placeholders)]
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
Decision = Literal["allowed", "refused"]


class BaseProbe(Strict):
    """What all probes share.

    `workload` says whose request it is: `each` workload of the platform, `any` one (drawn by the seed), or one named
    `namespace/account`. `clouds` empty means every cloud. `visible` is set by whoever loads the file.
    """

    model_config = ConfigDict(validate_by_name=True)

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    check: str = Field(pattern=r"^[A-Z]{2}-\d+\.\d+$")
    why: str = Field(min_length=10)
    workload: str = "each"
    clouds: list[str] = Field(default_factory=list)
    visible: bool = False

    @property
    def task(self) -> str:
        """The task that the check belongs to."""
        return self.check.split(".")[0]

    @property
    def destroys(self) -> bool:
        """Whether asking it may destroy something that other probes need."""
        return False

    @field_validator("workload")
    @classmethod
    def _known_workload(cls, value: str) -> str:
        named = [f"{workload.namespace}/{workload.account}" for workload in platform().workloads]
        if value not in ("each", "any", *named):
            raise ValueError(f"no workload is called {value!r}: write each, any, or one of {', '.join(named)}")
        return value

    @field_validator("clouds")
    @classmethod
    def _known_clouds(cls, value: list[str]) -> list[str]:
        if unknown := set(value) - set(platform().clouds):
            raise ValueError(f"no cloud is called {', '.join(sorted(unknown))}")
        return value


class TokenSpec(Strict):
    """How the token that is shown to Vault differs from the workload's right one. Empty: it does not.

    `cloud: others` takes the token of each other cloud, `holder: others` that of each other workload of the cloud;
    `namespace` and `account` name one themselves, which `create` makes first. `forged` tokens carry the right claims
    under a wrong signature.
    """

    cloud: Literal["own", "others"] = "own"
    holder: Literal["own", "others"] = "own"
    namespace: Template | None = None
    account: Template | None = None
    create: bool = False
    audience: Template = "{audience}"
    forged: Literal["rogue-key", "unsigned", "altered"] | None = None


class LoginProbe(BaseProbe):
    """A workload's role is asked for in Vault with a service-account token.

    `recreate` deletes and makes the account anew first: its new token must be refused.
    """

    kind: Literal["login"]
    expect: Decision
    token: TokenSpec = TokenSpec()
    recreate: bool = False

    @property
    def destroys(self) -> bool:
        """Whether the account is recreated, after which nobody with the old uid is left."""
        return self.recreate

    @model_validator(mode="after")
    def _fault_iff_refused(self) -> Self:
        if (self.recreate or self.token != TokenSpec()) != (self.expect == "refused"):
            raise ValueError(
                "a login is refused for a fault of its token, and allowed without one: say one or the other"
            )
        return self


class LifetimeProbe(BaseProbe):
    """A workload logs in, then renews its Vault token for as long as it can: at most `seconds` in all."""

    kind: Literal["lifetime"]
    seconds: int = Field(gt=0)


class SecretProbe(BaseProbe):
    """A logged-in workload does `operation` on `path` in Vault.

    `{target}` in the path is the secret of `of`: its own, those of each of the `others` on its cloud, the same
    workload's `elsewhere` (each other cloud), or `far`, another workload of another cloud drawn by the seed.
    """

    kind: Literal["secret"]
    expect: Decision
    operation: Literal["read", "list", "write", "patch", "delete"] = "read"
    path: Template
    of: Literal["own", "others", "elsewhere", "far"] = "own"
    body: Tree = Field(default_factory=dict)
    destructive: bool = False

    @property
    def destroys(self) -> bool:
        """Whether the operation, if let through, takes away what other probes read."""
        return self.destructive


class CapabilitiesProbe(BaseProbe):
    """Vault is asked what a logged-in workload may do on `paths`: nothing but `at_most`."""

    kind: Literal["capabilities"]
    paths: list[Template] = Field(min_length=1)
    at_most: list[str]


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


class BaseRightsProbe(BaseProbe):
    """About the rights of subjects on a cloud.

    `who` are service accounts (`namespace/name`), groups, `anonymous`, `somebody` who is in no group, or `each` subject of
    the platform's table of needs.
    """

    who: list[Template] = Field(default=["each"], min_length=1)
    workload: str = "any"

    @model_validator(mode="after")
    def _known_subjects(self) -> Self:
        known = {need.who for need in platform().needs}
        if unknown := [who for who in self.who if who.startswith("ml:") and who not in known]:
            raise ValueError(f"nobody is called {', '.join(unknown)}; the platform knows {', '.join(sorted(known))}")
        return self


class NeedsProbe(BaseRightsProbe):
    """A cloud is asked whether a subject may do each single thing that its task needs."""

    kind: Literal["needs"]


class ReviewProbe(BaseRightsProbe):
    """A cloud is asked whether a subject may do any of `verbs` on any of `resources`: it must not.

    Resources are written as kubectl writes them: `pods/exec`, `jobs.batch`. `namespaces` may hold `each` of the platform's, an
    account's `own`, all `others`, and `cluster`. What the table of needs grants is not asked.
    """

    kind: Literal["review"]
    verbs: list[str] = Field(min_length=1)
    resources: list[str] = Field(min_length=1)
    namespaces: list[Template] = Field(default=["each"], min_length=1)
    name: Template = ""

    @field_validator("resources")
    @classmethod
    def _readable(cls, value: list[str]) -> list[str]:
        for resource in value:
            ask_of("get", resource)
        return value


class RulesProbe(BaseRightsProbe):
    """A cloud lists all rules that apply to a subject in `namespaces`: those beyond the table must hold nothing of `about`.

    What is an `escalation` or an `intrusion` is no mere `excess`, and excess that everybody has counts for `everybody` alone.
    `strangers` are those who hold a role there and are not in the table.
    """

    kind: Literal["rules"]
    about: Literal["excess", "escalation", "intrusion", "everybody", "strangers"]
    namespaces: list[str] = Field(default=["each"], min_length=1)


Probe: TypeAlias = (
    LoginProbe
    | LifetimeProbe
    | SecretProbe
    | CapabilitiesProbe
    | AdmissionProbe
    | NeedsProbe
    | ReviewProbe
    | RulesProbe
)
AnyProbe = Annotated[Probe, Field(discriminator="kind")]
PROBES: TypeAdapter[list[Probe]] = TypeAdapter(list[AnyProbe])


class ProbeFile(Strict):
    """The whole of one `probes/<task>.yaml`."""

    schema_: Literal[1] = Field(alias="schema")
    task: str = Field(pattern=r"^[A-Z]{2}-\d+$")
    probes: list[AnyProbe] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if strangers := sorted({probe.id for probe in self.probes if probe.task != self.task}):
            raise ValueError(f"not of {self.task}: {', '.join(strangers)}")
        if twice := [name for name, count in Counter(probe.id for probe in self.probes).items() if count > 1]:
            raise ValueError(f"more than one probe is called {', '.join(twice)}")
        return self


def load_probes(path: Path, visible: bool) -> list[Probe]:
    """The probes of one file, or of every `*.yaml` in a folder; `visible` says whether learners may see them.

    Raises:
        BadInputError: a file is missing or not as it must be (all its problems are listed), or a folder holds none.
    """
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise BadInputError(f"There are no probes in {path}.", hint="Is this the folder of a lab's probes?")
    found = [probe for file in files for probe in load_yaml(file, ProbeFile).probes]
    return [probe.model_copy(update={"visible": visible}) for probe in found]
