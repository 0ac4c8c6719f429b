"""The cage made by Docker."""

from __future__ import annotations

from graders.cage.docker.cage import DockerCage

__all__ = ["DockerCage"]
