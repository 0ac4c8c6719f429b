"""Where a tool is: on `PATH`, in the cache, or, when asked to get it, wherever `acquire` finds it."""

from __future__ import annotations

from collections.abc import Sequence

from environments.toolchain.catalog import spec_of
from environments.toolchain.store import Slot
from environments.toolchain.tool import Progress, Tool
from environments.toolchain.version import on_path


def locate(name: str) -> Tool | None:
    """The tool if this machine already has it in the right version; nothing is fetched.

    Raises:
        ToolError: no tool has that name.
    """
    spec = spec_of(name)
    if path := on_path(name, spec):
        return Tool(name=name, version=spec.version, path=path, source="path", origin=str(path))
    return Slot(name, spec.version).lookup()


def resolve(names: Sequence[str], *, progress: Progress | None = None) -> dict[str, Tool]:
    """All of `names`, ready to run; what this machine lacks is fetched or built, once, and kept in the cache.

    Args:
        names: names of `tools.yaml`.
        progress: told of every event while something is fetched or built.

    Returns:
        The tools by name, in the order of `names`.

    Raises:
        ToolError: a tool is unknown or could not be had, or this is not a machine that the tools run on.
        StorageError: the cache cannot be written.
    """
    here = {name: locate(name) for name in names}
    missing = [name for name, tool in here.items() if tool is None]
    got: dict[str, Tool] = {}
    if missing:
        # Imported here, because the HTTP client takes longer to import than all else, and is seldom needed.
        from environments.toolchain.acquire import acquire  # noqa: PLC0415

        got = acquire(missing, progress)
    return {name: tool or got[name] for name, tool in here.items()}
