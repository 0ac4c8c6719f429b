"""What all probes share, and the texts in them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from environments.platform import platform
from environments.probes.facts import check_placeholders
from environments.yamlfile import Strict

Template = Annotated[str, AfterValidator(check_placeholders)]
Tree = Annotated[dict[str, Any], AfterValidator(check_placeholders)]
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
