"""`mod209 tools`: which tools there are, and where each one is; with `--fetch`, get those that are missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from environments.toolchain.catalog import Wanted, catalog, wanted_by
from environments.toolchain.resolve import locate, resolve
from environments.toolchain.tool import Event, Progress, Stage, Tool, words


def tools_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch or build the tools that are missing.")] = False,
    wanted: Annotated[
        Wanted,
        typer.Option(
            "--for",
            help="Also what provider kind needs (kind), what its node image is made of (node), and policy engines (engines).",
        ),
    ] = "all",
) -> None:
    """List the labs' tools: the version wanted, where each one is, and where it came from.

    A tool is taken from PATH (right version only), the cache, MOD209_TOOLS (a folder or a mirror's URL), the
    publisher's release, or a build from source. Without --fetch, nothing is downloaded.
    """
    names = wanted_by(wanted)
    tools: Mapping[str, Tool | None]
    if fetch:
        with progress_bars() as progress:
            tools = resolve(names, progress=progress)
    else:
        tools = {name: locate(name) for name in names}
    if as_json:
        typer.echo(json.dumps({"tools": [_row(name, tool) for name, tool in tools.items()]}))
    else:
        Console().print(_table(tools))


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A progress callback that draws one bar a tool on standard error while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[tool]}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        ids: dict[str, TaskID] = {}

        def show(event: Event, /) -> None:
            if event.tool not in ids:
                ids[event.tool] = bars.add_task("", tool=event.tool, total=None)
            ready = event.stage is Stage.READY
            total, done = (1, 1) if ready else (event.total, event.done)
            bars.update(ids[event.tool], description=words(event), total=total, completed=done)

        yield show


def _row(name: str, tool: Tool | None) -> dict[str, str | None]:
    return {
        "name": name,
        "version": catalog()[name].version,
        "path": str(tool.path) if tool else None,
        "source": tool.source if tool else None,
        "origin": tool.origin if tool else None,
    }


def _table(tools: Mapping[str, Tool | None]) -> Table:
    table = Table("tool", "version", Column("where", overflow="fold"), Column("from", overflow="fold"))
    for name, tool in tools.items():
        where, origin = (_short(tool.path), _origin(tool)) if tool else ("not here yet", "mod209 tools --fetch")
        table.add_row(name, catalog()[name].version, where, origin)
    return table


def _origin(tool: Tool) -> str:
    return "PATH" if tool.source == "path" else f"{tool.source}, {tool.origin}"


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
