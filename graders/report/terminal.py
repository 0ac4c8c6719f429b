"""The summary of a batch on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from environments.handin.untrusted import one_line
from environments.labspec import LabSpec
from graders.report.words import VERDICTS, points
from graders.verdicts import Results, SubmissionResult, score

MAX_ROWS: Final = 30
MAX_REASON: Final = 300
_COLOURS: Final = {"good": "green", "bad": "red", "open": "yellow", "held": "magenta"}


def summary(spec: LabSpec, results: Results) -> RenderableType:
    """Learners by tasks, with verdicts in words, and below it what needs a person.

    Of a large batch it shows `MAX_ROWS` learners, those first who need a person, and counts the others.
    """
    shown, rest = _chosen(results)
    table = Table(
        title=f"{spec.title} on {results.provider}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,  # seven tasks and a name fit in 80 columns
        padding=(0, 1, 0, 0),
    )
    table.add_column("Learner", overflow="fold")
    table.add_column("Verdict", no_wrap=True)
    for task in spec.tasks:
        table.add_column(f"{task.id}\n/{task.points}", justify="right")
    table.add_column(f"Score\n/{spec.points}", justify="right", style="bold")
    for submission in shown:
        table.add_row(*_row(spec, submission))
    reasons = [
        Text.assemble((submission.learner, "bold"), f": {one_line(submission.error, MAX_REASON)}")
        for submission in shown
        if submission.error
    ]
    return Group(table, *_others(rest), *reasons)


def _chosen(results: Results) -> tuple[Sequence[SubmissionResult], Sequence[SubmissionResult]]:
    if len(results.submissions) <= MAX_ROWS:
        return results.submissions, ()
    ordered = sorted(results.submissions, key=lambda submission: submission.final)
    return ordered[:MAX_ROWS], ordered[MAX_ROWS:]


def _others(rest: Sequence[SubmissionResult]) -> list[Text]:
    if not rest:
        return []
    counts = Counter(submission.verdict for submission in rest)
    words = ", ".join(f"{counts[verdict]} {word.word}" for verdict, word in VERDICTS.items() if counts[verdict])
    return [Text(f"and {len(rest)} more: {words}. The report lists them all.")]


def _row(spec: LabSpec, submission: SubmissionResult) -> list[Text]:
    verdict = VERDICTS[submission.verdict]
    # Text, not markup: a learner's id must not be able to style the table.
    return [
        Text(submission.learner),
        Text(f"{verdict.symbol} {verdict.word}", style=_COLOURS[verdict.style]),
        *(Text(points(score(submission.of_task(task.id)))) for task in spec.tasks),
        Text(points(submission.score)),
    ]
