"""What an examination says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from environments.yamlfile import Strict

Group = Literal["labs", "kind", "grading"]
State = Literal["ok", "warning", "problem"]


class Finding(Strict):
    """One thing looked at. `group` says who needs it; `seen` and `cure` are a sentence each, the cure empty where all is well."""

    group: Group
    name: str
    state: State
    seen: str
    cure: str = ""


class Machine(Strict):
    """Where to look: the roots of /proc and /sys, and Docker's socket. Tests make their own."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    socket: Path = Path("/var/run/docker.sock")

    def number(self, path: str) -> int | None:
        """The number in a file below /proc; None if there is none."""
        try:
            return int((self.proc / path).read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None


def fine(group: Group, name: str, seen: str) -> Finding:
    """All is well."""
    return Finding(group=group, name=name, state="ok", seen=seen)
