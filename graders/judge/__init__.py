"""The judge: probes a settled footprint from a clean process, and says which checks hold."""

from __future__ import annotations

from graders.judge.runner import judge

__all__ = ["judge"]
