"""One cloud as the clean room sees it: how to reach its API server and its etcd, and who may come in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from environments.cleanroom.endpoint import Endpoint
from environments.pki import Pair

NOTHING = re.compile("(?!)")


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One cloud's control plane, and how to reach it as keeper, operator and judge.

    Operators' certificates come from a CA of their own, which can be taken away while the API server runs: Kubernetes
    knows no other way to revoke a certificate. `client_cas` is the file of the CAs that it trusts now. `volatile` are the
    keys of etcd that change by themselves, whoever uses the cloud; `policies` those that are learners' to change beside
    what is theirs on every cloud.
    """

    name: str
    server: str
    issuer: str
    ca: str
    operators_ca: str
    client_cas: Path
    operator: Pair
    judge: Pair
    etcd: Endpoint
    keeper: Endpoint
    as_operator: Endpoint
    volatile: re.Pattern[str]
    policies: re.Pattern[str] = NOTHING

    def admit_operators(self, *, admitted: bool) -> None:
        """Trust operators' certificates, or none of them any more; the API server heeds it within a moment."""
        trusted = self.ca + self.operators_ca if admitted else self.ca
        # Half a file is never there to be read: it only loses its end, or gets one.
        with self.client_cas.open("r+") as file:
            file.write(trusted)
            file.truncate()
