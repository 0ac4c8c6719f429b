"""Probes of what a rotation left behind."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from environments.probes.kinds.base import BaseProbe, Decision, Tree


class RotationProbe(BaseProbe):
    """The push credential of a cloud's registry: the `new` one in kv, the one `used` before, the `leaked` one.

    `versions` are earlier ones in kv, `secret-ids` all that the role has beside the one in kv. `calls` is what clients
    met while they were watched.
    """

    kind: Literal["rotation"]
    expect: Decision
    of: Literal["calls", "new", "used", "leaked", "versions", "secret-ids"]
    workload: str = "registry/model-registry"


class PushCertificateProbe(BaseProbe):
    """A push job's certificate: a `new` one, asked for with `body`, lives for at most `seconds`; others meet a CRL."""

    kind: Literal["push-certificate"]
    expect: Literal["allowed", "refused", "bounded"]
    of: Literal["new", "leaked", "other"]
    body: Tree = Field(default_factory=dict)
    seconds: int = Field(default=3600, gt=0)
    workload: str = "registry/model-registry"
