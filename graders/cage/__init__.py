"""The cage: runs a learner's notebooks, which may be hostile, confined and limited.

Nothing that comes out of a cage decides a grade: an `Outcome` is for display and for saying why a run ended.
"""

from __future__ import annotations

from graders.cage.base import Cage, Job, Limits, Outcome, Status
from graders.cage.bubblewrap import BubblewrapCage
from graders.cage.choice import CAGE_NAMES, cage_named

__all__ = ["CAGE_NAMES", "BubblewrapCage", "Cage", "Job", "Limits", "Outcome", "Status", "cage_named"]
