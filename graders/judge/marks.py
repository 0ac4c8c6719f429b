"""The decorator that makes a function the check of an id of `lab.yaml`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

CHECK_ID: Final = "check_id"
Function = TypeVar("Function", bound=Callable[..., Any])


def check(check_id: str) -> Callable[[Function], Function]:
    """Make a function the check `check_id`. Its docstring is the advice that a learner sees when it fails."""

    def mark(function: Function) -> Function:
        setattr(function, CHECK_ID, check_id)
        return function

    return mark


def check_of(function: object) -> str:
    """The id that a function was marked with; empty if it was not."""
    return str(getattr(function, CHECK_ID, ""))
