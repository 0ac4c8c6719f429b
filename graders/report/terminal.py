"""The summary of a batch on the terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from environments.labspec import LabSpec
from graders.report.words import VERDICTS, points
from graders.verdicts import Results, SubmissionResult, score

_COLOURS: Final = {"good": "green", "bad": "red", "open": "yellow", "held": "magenta"}


def summary(spec: LabSpec, results: Results) -> RenderableType:
    """Learners by tasks, with verdicts in words, and below it what needs a person."""
    table = Table(title=f"{spec.title} on {results.provider}", title_justify="left", title_style="bold")
    table.add_column("Learner", overflow="fold")
    table.add_column("Verdict", no_wrap=True)
    for task in spec.tasks:
        table.add_column(f"{task.id}\n/{task.points}", justify="right")
    table.add_column(f"Score\n/{spec.points}", justify="right", style="bold")
    for submission in results.submissions:
        table.add_row(*_row(spec, submission))
    reasons = [
        Text.assemble((submission.learner, "bold"), f": {submission.error}")
        for submission in results.submissions
        if submission.error
    ]
    return Group(table, *reasons)


def _row(spec: LabSpec, submission: SubmissionResult) -> list[Text]:
    verdict = VERDICTS[submission.verdict]
    # Text, not markup: a learner's id must not be able to style the table.
    return [
        Text(submission.learner),
        Text(f"{verdict.symbol} {verdict.word}", style=_COLOURS[verdict.style]),
        *(Text(points(score(submission.of_task(task.id)))) for task in spec.tasks),
        Text(points(submission.score)),
    ]
