"""The tools that the labs run on: found, fetched or built, always in the version that `tools.yaml` names."""

from __future__ import annotations

from environments.toolchain.catalog import catalog
from environments.toolchain.resolve import locate, resolve
from environments.toolchain.tool import Event, Progress, Stage, Tool, words

__all__ = ["Event", "Progress", "Stage", "Tool", "catalog", "locate", "resolve", "words"]
