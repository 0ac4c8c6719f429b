"""What footprints left on the Docker daemon whose supervisor is gone, and whose undertaker was ended too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from environments.kind.engine import Leftover, leftovers
from environments.kind.removal import remove


def abandoned(client: Any, owned: Callable[[Path], bool]) -> list[Leftover]:
    """Footprints of whose directory `owned` says that no supervisor has it. One that we may not look into is another user's."""

    def is_owned(directory: Path) -> bool:
        try:
            return owned(directory)
        except PermissionError:
            return True

    return [one for one in leftovers(client) if not (one.directory and is_owned(Path(one.directory)))]


def sweep(client: Any, owned: Callable[[Path], bool]) -> list[Leftover]:
    """Remove the nodes and networks of abandoned footprints; returns these."""
    gone = abandoned(client, owned)
    for one in gone:
        remove(client, one.network)
    return gone
