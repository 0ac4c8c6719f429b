"""The cage made by bubblewrap."""

from __future__ import annotations

from graders.cage.bubblewrap.cage import BubblewrapCage

__all__ = ["BubblewrapCage"]
