"""Probes of logins."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from environments.probes.kinds.base import BaseProbe, Decision, Template
from environments.yamlfile import Strict


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
