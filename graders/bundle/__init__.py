"""What a learner downloads: one archive with the lab, their parameters, and a wheel of `environments` alone."""

from __future__ import annotations

from graders.bundle.command import bundle_command

__all__ = ["bundle_command"]
