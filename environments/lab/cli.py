"""The learner's commands `mod209 apply LAB` and `mod209 check LAB [TASK]`, for the main command line to mount."""

from __future__ import annotations

import json as jsonlib
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from environments.errors import CheckFailedError
from environments.lab.api import open_lab

LabArgument = Annotated[str, typer.Argument(help="The lab, like zero-trust.", show_default=False)]


def apply_command(lab: LabArgument) -> None:
    """Apply everything in policies/ and manifests/ of this folder to the running footprint."""
    with closing(open_lab(lab)) as opened:
        typer.echo(repr(opened.apply()))


def check_command(
    lab: LabArgument,
    task: Annotated[str | None, typer.Argument(help="A task or check, like ZT-1 or ZT-1.2; all if left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Ask the running footprint the visible questions, and say what passes."""
    with closing(open_lab(lab)) as opened:
        names = [task] if task else [one.id for one in opened.spec.tasks]
        reports = [opened.check(name) for name in names]
    if json:
        typer.echo(jsonlib.dumps([report.as_dict() for report in reports]))
    else:
        Console().print(*reports, sep="\n")
    failing = [line.id for report in reports for line in report.asked if not line.ok]
    if failing:
        raise CheckFailedError(
            f"Not passing yet: {', '.join(failing)}.", hint="The table says what was asked, expected and got."
        )
