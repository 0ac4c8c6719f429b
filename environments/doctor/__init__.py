"""`mod209 doctor`: what this machine lacks for the labs, each with its cure."""

from __future__ import annotations

from environments.doctor.examine import examine
from environments.doctor.finding import Finding, Group, State

__all__ = ["Finding", "Group", "State", "examine"]
