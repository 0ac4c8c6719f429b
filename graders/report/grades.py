"""`grades.csv`: a batch for spreadsheets and for the registrar's import."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Final

from environments.handin.untrusted import one_line
from environments.labspec import LabSpec
from graders.report.criterion import MET, criterion
from graders.verdicts import MAX_MESSAGE, Results, SubmissionResult, score

# What a spreadsheet takes for the beginning of a formula; the wide forms are taken for it by some.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def grades_csv(spec: LabSpec, results: Results) -> bytes:
    """The batch as CSV (RFC 4180, UTF-8), a row a learner; points are empty where nothing was graded."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    tasks = [task.id for task in spec.tasks]
    writer.writerow(["learner", "verdict", "score", "max_score", "final", "criterion_met", *tasks, "sha256", "error"])
    writer.writerows(_row(spec, submission) for submission in results.submissions)
    return text.getvalue().encode()


def _row(spec: LabSpec, result: SubmissionResult) -> list[str]:
    return [
        _cell(result.learner),
        result.verdict.value,
        _number(result.score),
        _number(result.max_score),
        _yes(result.final),
        _yes(criterion(spec, result) is MET),
        *(_number(score(result.of_task(task.id))) for task in spec.tasks),
        _cell(result.sha256 or ""),
        _cell(result.error or ""),
    ]


def _cell(text: str) -> str:
    shown = one_line(text, MAX_MESSAGE)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
