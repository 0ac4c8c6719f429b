"""How much is tried: something of each kind (`make test`), or everything in all combinations (`make thorough`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, TypeVar

THOROUGH: Final = bool(os.environ.get("MOD209_THOROUGH"))
T = TypeVar("T")


def some(everything: Sequence[T], every: int, first: int = 0) -> list[T]:
    """One of `every` so many from the `first` on, always the same ones; all in a thorough run."""
    return list(everything if THOROUGH else everything[first::every])
