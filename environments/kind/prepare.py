"""What provider kind needs before it starts: the lab's `kind.yaml`, Docker, a node image and the `kind` command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from environments.kind import runtime
from environments.kind.engine import engine
from environments.kind.leftovers import sweep
from environments.kind.nodeimage import ensure
from environments.kind.policyengines import engine_named
from environments.kind.policyengines.provide import provide
from environments.kind.prepared import Prepared
from environments.labspec import Capability
from environments.yamlfile import Strict, load_yaml


class KindConfig(Strict):
    """`labs/<slug>/kind.yaml`: one cloud's cluster, of one node, as kind reads it."""

    kind: Literal["Cluster"]
    apiVersion: Literal["kind.x-k8s.io/v1alpha4"]  # noqa: N815 - as kind calls it
    networking: dict[str, Any] = Field(default_factory=dict)
    nodes: list[dict[str, Any]] = Field(min_length=1, max_length=1)
    kubeadmConfigPatches: list[str] = Field(default_factory=list)  # noqa: N815
    containerdConfigPatches: list[str] = Field(default_factory=list)  # noqa: N815


def reach_daemon() -> None:
    """See that a Docker daemon answers.

    Raises:
        FootprintError: none does.
    """
    with engine():
        pass


def prepare(
    lab: str,
    course: Path,
    policy_engine: str,
    progress: Callable[[str], None],
    owned: Callable[[Path], bool],
    *,
    watched: bool,
) -> tuple[Prepared, dict[Capability, str]]:
    """All of that, and which capabilities the footprint will lack, as in `Access.without`.

    What footprints left that nobody has `owned` goes. `policy_engine` is its name, empty for none. Only a lab that is
    `watched`, in that a task of it needs runtime detection, pays for Falco.

    Raises:
        BadInputError: the lab's `kind.yaml` is not as it must be, or there is no such engine.
        FootprintError: no Docker daemon answers.
        CourseError: there is no node image, and none can be had; or the engine cannot.
    """
    wanted = engine_named(policy_engine) if policy_engine else None
    config = load_yaml(course / "labs" / lab / "kind.yaml", KindConfig)
    with engine() as client:
        for one in sweep(client, owned):
            progress(f"removed {one.network}, which a killed footprint had left")
        image = ensure(client, progress)
        falco = runtime.choose(client, progress) if watched else runtime.Choice()
    installed = provide(wanted, progress) if wanted else None
    own = Prepared(image=image, lab_config=config.model_dump(), engine=installed, falco=falco.image)
    return own, {} if falco.image else {"runtime": falco.reason}
