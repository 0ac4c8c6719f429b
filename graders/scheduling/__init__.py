"""Who grades which submission when: one after another in this process, or side by side on workers."""

from __future__ import annotations

from graders.scheduling.inline import in_turn
from graders.scheduling.pace import Pace
from graders.scheduling.posting import Posting, Scheduler, scheduler_at

__all__ = ["Pace", "Posting", "Scheduler", "in_turn", "scheduler_at"]
