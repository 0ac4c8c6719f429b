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
from environments.yamlfile import Strict, load_yaml


class KindConfig(Strict):
    """`labs/<slug>/kind.yaml`: one cloud's cluster, of one node, as kind reads it."""

    kind: Literal["Cluster"]
    apiVersion: Literal["kind.x-k8s.io/v1alpha4"]  # noqa: N815 - as kind calls it
    networking: dict[str, Any] = Field(default_factory=dict)
    nodes: list[dict[str, Any]] = Field(min_length=1, max_length=1)
    kubeadmConfigPatches: list[str] = Field(default_factory=list)  # noqa: N815
    containerdConfigPatches: list[str] = Field(default_factory=list)  # noqa: N815


def prepare(
    lab: str, course: Path, progress: Callable[[str], None], owned: Callable[[Path], bool], *, watched: bool
) -> dict[str, Any]:
    """What the supervisor's plan says of kind. What footprints that nobody has `owned` left goes.

    Only a lab that is `watched`, in that a task of it needs runtime detection, pays for Falco.

    Raises:
        BadInputError: the lab's `kind.yaml` is not as it must be.
        FootprintError: no Docker daemon answers.
        CourseError: there is no node image, and none can be had.
    """
    config = load_yaml(course / "labs" / lab / "kind.yaml", KindConfig)
    with engine() as client:
        for one in sweep(client, owned):
            progress(f"removed {one.network}, which a killed footprint had left")
        image = ensure(client, progress)
        falco = runtime.choose(client, progress) if watched else runtime.Choice()
    without = {} if falco.image else {"runtime": falco.reason}
    return {"image": image, "lab_config": config.model_dump(), "falco": falco.image, "without": without}
