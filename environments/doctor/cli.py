"""The command `mod209 doctor`, for the main command line to mount."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from environments import console
from environments.doctor import Finding, Group, examine
from environments.errors import FootprintError

HEADS: Final[dict[Group, str]] = {
    "labs": "For the labs",
    "kind": "For real clusters (--provider kind)",
    "grading": "For grading",
}
MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "bold red")}


def doctor_command(
    wanted: Annotated[
        Group, typer.Option("--for", help="What must be well for exit code 0, beside the labs.")
    ] = "labs",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")] = False,
) -> None:
    """Look at this machine: what the labs, clusters and grading need of it, and how to mend what is not well."""
    found = examine()
    bad = [one for one in found if one.state == "problem" and one.group in ("labs", wanted)]
    if as_json:
        console.print_json({"ok": not bad, "findings": [one.model_dump() for one in found]})
    else:
        for group, head in HEADS.items():
            console.out.print(f"\n{head}", style="bold")
            for one in (one for one in found if one.group == group):
                _show(one)
    if bad:
        names = ", ".join(dict.fromkeys(one.name for one in bad))
        raise FootprintError(f"Not well: {names}.", hint="The cure stands below each finding.")


def _show(one: Finding) -> None:
    mark, style = MARKS[one.state]
    line = Table.grid(padding=(0, 1), expand=False)
    line.add_row(Text(f"  {mark}", style), Text.assemble((f"{one.name}: ", "bold"), one.seen))
    if one.cure:
        line.add_row("", Text(f"→ {one.cure}", style="cyan"))
    console.out.print(line)
