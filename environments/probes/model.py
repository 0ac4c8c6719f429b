"""What `probes/<task>.yaml` may say: probes of every kind. A new kind joins the union here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, TypeAdapter, model_validator

from environments.errors import BadInputError
from environments.probes.kinds.admission import AdmissionProbe
from environments.probes.kinds.identity import LifetimeProbe, LoginProbe
from environments.probes.kinds.rights import NeedsProbe, ReviewProbe, RulesProbe
from environments.probes.kinds.rotation import PushCertificateProbe, RotationProbe
from environments.probes.kinds.secrets import CapabilitiesProbe, SecretProbe
from environments.probes.kinds.table import TableProbe
from environments.probes.kinds.traffic import CertificateProbe, HandshakeProbe, ReachProbe
from environments.yamlfile import Strict, load_yaml

Probe: TypeAlias = (
    LoginProbe
    | LifetimeProbe
    | SecretProbe
    | CapabilitiesProbe
    | AdmissionProbe
    | ReachProbe
    | HandshakeProbe
    | CertificateProbe
    | NeedsProbe
    | ReviewProbe
    | RulesProbe
    | TableProbe
    | RotationProbe
    | PushCertificateProbe
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
