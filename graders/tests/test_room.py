"""A room starts its footprint, and anew if it fell over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from environments.errors import FootprintError
from environments.footprint import Footprint
from graders import room
from graders.room import Place, Room

PLACE = Place(course=Path("course"), lab="zero-trust")
FALLS = FootprintError("azure/etcd exited with status 2:\n  | panic", hint="Run the same command again.")


class Starts:
    """Stands for `temporary`: as many starts fail as are told to, and each footprint that runs is stopped once."""

    def __init__(self, failing: int, folder: Path) -> None:
        self.failing, self.folder = failing, folder
        self.tried = self.stopped = 0

    @contextmanager
    def __call__(self, *_: object, **__: object) -> Iterator[Footprint]:
        self.tried += 1
        if self.tried <= self.failing:
            raise FALLS
        yield Footprint(self.folder)
        self.stopped += 1


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Starts]:
    def make(failing: int) -> Starts:
        made = Starts(failing, tmp_path)
        monkeypatch.setattr(room, "temporary", made)
        return made

    return make


def test_a_server_that_falls_over_once_while_starting_ends_no_class(starts: Callable[[int], Starts]) -> None:
    made, told = starts(1), list[str]()
    with room.room(PLACE, told.append) as running:
        assert running.ready() is running.ready()
    assert (made.tried, made.stopped) == (2, 1)
    assert told == ["azure/etcd exited with status 2: Starting once more."]


def test_one_that_falls_over_again_is_an_error(starts: Callable[[int], Starts]) -> None:
    made = starts(2)
    with room.room(PLACE) as running, pytest.raises(FootprintError, match="status 2"):
        running.ready()
    assert made.tried == 2


def test_a_closed_room_starts_nothing(starts: Callable[[int], Starts]) -> None:
    made = starts(0)
    closed = Room(PLACE)
    closed.close()
    with pytest.raises(FootprintError, match="was stopped"):
        closed.ready()
    assert made.tried == 0
