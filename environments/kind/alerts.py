"""What Falco has said of a cloud, from its log, which `logs.py` brings into the footprint's folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from environments.errors import FootprintError
from environments.kind.runtime import NAME

Priority = Literal[
    "Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"
]  # the most urgent first


class Alert(BaseModel):
    """One alert, as far as checks look at it; Falco's versions add keys of their own."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=False)

    time: AwareDatetime
    rule: str
    priority: Priority
    output: str
    output_fields: dict[str, str | int | float | bool | None]

    @property
    def pod(self) -> tuple[str, str] | None:
        """Namespace and name of the pod that it is about; None if it is about no pod of this cloud."""
        namespace, name = (self.output_fields.get(f"k8s.{key}.name") for key in ("ns", "pod"))
        return (str(namespace), str(name)) if namespace and name else None


def alerts(directory: Path, cloud: str, since: datetime) -> list[Alert]:
    """Alerts about pods of `cloud` since a time, of the footprint in `directory`, in the order of the log.

    Those about anything else are left out: the clouds share one kernel, and each Falco sees all of it.

    Raises:
        FootprintError: there is no log, or a line of it looks like an alert and is none.
    """
    log = directory / "logs" / f"{cloud}-{NAME}.log"
    try:
        lines = log.read_bytes().split(b"\n")[:-1]  # what comes after the last line break is only being written
    except FileNotFoundError:
        raise FootprintError(f"There is no log of Falco of {cloud}.", hint="Why: mod209 status LAB") from None
    # A follower that has lost its connection asks for the last second again.
    told = [_read(log, line) for line in dict.fromkeys(lines) if line.startswith(b"{")]
    return [one for one in told if one.time >= since and one.pod]


def _read(log: Path, line: bytes) -> Alert:
    try:
        return Alert.model_validate_json(line)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, problem["loc"])) or problem["type"] for problem in error.errors()[:3])
        raise FootprintError(f"{log} has a line that is no alert of Falco's ({where}).", hint="Look into it.") from None
