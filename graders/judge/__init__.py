"""The judge: probes a settled footprint from a clean process, and says which checks hold."""

from __future__ import annotations

from graders.judge.judgement import Judgement
from graders.judge.runner import Judge

__all__ = ["Judge", "Judgement"]
