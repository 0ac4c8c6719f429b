"""The cages by name, for the command line and for workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from environments.errors import BadInputError
from graders.cage.base import Cage
from graders.cage.bubblewrap import BubblewrapCage


def cage_named(name: str) -> Cage:
    """A cage of this name.

    Raises:
        BadInputError: there is none.
    """
    if name not in _CAGES:
        raise BadInputError(f"There is no cage {name!r}.", hint=f"Cages: {', '.join(CAGE_NAMES)}.")
    return _CAGES[name]()


def _docker() -> Cage:
    from graders.cage.docker import DockerCage  # noqa: PLC0415  # only who uses it waits for its client

    return DockerCage()


_CAGES: Final[dict[str, Callable[[], Cage]]] = {BubblewrapCage.name: BubblewrapCage, "docker": _docker}
CAGE_NAMES: Final = tuple(_CAGES)
