"""What the supervisor is told of a footprint of kind, beside what it is told of any."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from environments.kind.policyengines import Installed
from environments.yamlfile import Strict


class Prepared(Strict):
    """Everything that was found or made before the clusters are.

    Attributes:
        image: Of the nodes, as the daemon calls it.
        lab_config: The lab's `kind.yaml`.
        engine: A policy engine to install beside OPA.
        falco: Falco's image as nodes call it, empty where it may not run or nobody needs it.
    """

    image: str
    lab_config: dict[str, Any]
    engine: Installed | None = None
    falco: str = Field(default="")
