"""The decorator that makes a function the check of an id of `lab.yaml`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest

MARK: Final = "check"
Function = TypeVar("Function", bound=Callable[..., Any])


def check(check_id: str) -> Callable[[Function], Function]:
    """Mark a function as the check `check_id`. Its docstring is the advice that a learner sees when it fails."""
    mark: Callable[[Function], Function] = getattr(pytest.mark, MARK)(check_id)
    return mark
