"""Do a thing once, however many threads ask for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar, cast

Value = TypeVar("Value")


class Once:
    """Results by key: the first thread to ask makes one, the others wait for it. A failure is kept like a result."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._futures: dict[Hashable, Future[Any]] = {}

    def __call__(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The result of `make` for `key`, which must always stand for the same thing."""
        with self._lock:
            known = self._futures.get(key)
            future = self._futures[key] = known or Future()
        if known is None:
            try:
                future.set_result(make())
            except BaseException as error:  # whatever it is, nobody may wait for ever
                future.set_exception(error)
                raise
        return cast("Value", future.result())
