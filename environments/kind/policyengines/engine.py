"""What all policy engines have in common: what is known of one, and what makes a publisher's Deployment fit a lab."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from environments.kind import images
from environments.yamlfile import Strict

Object = dict[str, Any]
VERBS: Final = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A policy engine.

    Attributes:
        name: What it is called, here and in the toolchain.
        namespace: Where its controller runs; nobody but it and the keeper has rights there.
        deployment: Its controller.
        module: The Go module that holds the publisher's manifests, of the version that the controller is built from.
        manifests: The file of them in the module.
        kept: What of a publisher's document comes onto a cloud, None for nothing.
        rights: What operators may do beyond the baseline: rules of a ClusterRole.
        policies: Keys of etcd that hold learners' policies, and what the controller makes of them.
        volatile: Further keys that the controller changes by itself.
        certificate: The Secret that its webhook's certificate is mounted from, where it does not make one in time by itself.
    """

    name: str
    namespace: str
    deployment: str
    module: str
    manifests: str
    kept: Callable[[Object], Object | None]
    rights: Sequence[Mapping[str, Any]]
    policies: re.Pattern[str]
    volatile: str
    certificate: str = ""


class Installed(Strict):
    """What a supervisor needs to install an engine: archive of its image, the image's name, and its objects as JSON."""

    name: str
    archive: Path
    image: str
    objects: Path = Field(description="a JSON list of what `kept` left of the publisher's manifests")


def controller(deployment: Object, arguments: Callable[[list[str]], list[str]]) -> Object:
    """The publisher's Deployment with one replica, and no container but the first, whose image and program `install` sets.

    It is asked often whether it is ready, since somebody waits for it.
    """
    template = deployment["spec"]["template"]
    pod = {key: value for key, value in template["spec"].items() if key not in ("affinity", "initContainers")}
    first = pod["containers"][0]
    first = {key: value for key, value in first.items() if key != "command"}
    first |= {"imagePullPolicy": "Never", "args": arguments(first["args"])}
    first["readinessProbe"] = first["readinessProbe"] | {"initialDelaySeconds": 0, "periodSeconds": 1}
    pod["containers"] = [first]
    spec = deployment["spec"] | {"replicas": 1, "template": {**template, "spec": pod}}
    return {**deployment, "spec": spec}


def with_image(deployment: Object, image: str, program: str) -> Object:
    """The Deployment as it starts the toolchain's binary `program` in `image`."""
    template = deployment["spec"]["template"]
    [container] = template["spec"]["containers"]
    run = {**container, "image": image, "command": [f"{images.BIN}/{program}"]}
    spec = {**template["spec"], "containers": [run]}
    return {**deployment, "spec": {**deployment["spec"], "template": {**template, "spec": spec}}}
