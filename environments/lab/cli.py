"""The learner's commands `mod209 apply LAB` and `mod209 check LAB [TASK]`, for the main command line to mount."""

from __future__ import annotations

import json as jsonlib
from contextlib import closing
from pathlib import Path
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
    clean: Annotated[bool, typer.Option("--clean", help="Run your notebooks on a fresh footprint first.")] = False,
    work: Annotated[Path | None, typer.Option(help="With --clean: your folder; work/LAB if not given.")] = None,
) -> None:
    """Ask the running footprint the visible questions, and say what passes."""
    if clean:
        from environments.jupyter.clean_cli import check_clean  # noqa: PLC0415 - it needs what a bare install lacks

        reports, document, remarks = check_clean(lab, task, work)
    else:
        with closing(open_lab(lab)) as opened:
            reports = tuple(opened.check(name) for name in ([task] if task else [one.id for one in opened.spec.tasks]))
        document, remarks = [report.as_dict() for report in reports], []
    if json:
        typer.echo(jsonlib.dumps(document))
    else:
        Console().print(*reports, sep="\n")
        for remark in remarks:
            Console().print(remark, markup=False)
    failing = [line.id for report in reports for line in report.asked if not line.ok]
    if failing:
        raise CheckFailedError(
            f"Not passing yet: {', '.join(failing)}.", hint="The table says what was asked, expected and got."
        )
