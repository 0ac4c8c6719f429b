"""The judge: probes a settled footprint from a clean process, and says which checks hold."""

from __future__ import annotations

from graders.judge.runner import Judge, Judgement

__all__ = ["Judge", "Judgement"]
