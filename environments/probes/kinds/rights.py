"""Probes of who may do what on a cloud."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from environments.platform import platform
from environments.probes.kinds.base import BaseProbe, Template
from environments.rights import ask_of


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
    `strangers` are those who hold a role there and are not in the table.
    """

    kind: Literal["rules"]
    about: Literal["excess", "escalation", "intrusion", "everybody", "strangers"]
    namespaces: list[str] = Field(default=["each"], min_length=1)
