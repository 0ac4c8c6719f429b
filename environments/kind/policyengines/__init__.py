"""Policy engines beside OPA on provider `kind`: installed by us before a learner begins, who then only writes policies for them.

A module an engine (`gatekeeper`, `kyverno`) says what is kept of its publisher's manifests and which keys of etcd are whose;
`provide` gets controller and manifests, `install` brings them onto a cloud.
"""

from environments.kind.policyengines.engine import Engine, Installed
from environments.kind.policyengines.names import ENGINE_NAMES, engine_named

__all__ = ["ENGINE_NAMES", "Engine", "Installed", "engine_named"]
