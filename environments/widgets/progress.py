"""Progress over the tasks: points that the visible questions vouch for, and minutes."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from environments.labspec import TaskSpec
from environments.widgets.shown import Shown, block, said
from environments.widgets.survey import Survey

if TYPE_CHECKING:
    from ipywidgets import HTML, Button, Widget

    from environments.lab.api import Lab
    from environments.lab.report import CheckReport

HEADINGS = (("Task", ""), ("State", ""), ("Points", "number"), ("", ""), ("Minutes", "number"))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far one task is: `sure` points pass every visible question, `unseen` ones only grading asks about."""

    task: TaskSpec
    sure: int
    unseen: int
    asked: bool

    @property
    def state(self) -> str:
        """In words, the sign first."""
        if not self.asked:
            return "– not asked"
        if self.sure + self.unseen == self.task.points:
            return "✓ done"
        return "◐ begun" if self.sure else "○ not begun"

    @property
    def done(self) -> bool:
        """Whether nothing is left that can be seen here."""
        return self.asked and self.sure + self.unseen == self.task.points


def standing(task: TaskSpec, report: CheckReport | None) -> Standing:
    """How far `task` is by its self-check."""
    points = {check.id: check.points for check in task.checks}
    lines = report.lines if report else ()
    sure = sum(points[line.id] for line in lines if line.ok is True)
    unseen = sum(points[line.id] for line in lines if not line.observations)
    return Standing(task=task, sure=sure, unseen=unseen, asked=bool(report and report.asked))


class Progress(Shown):
    """Tasks, points and minutes."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._table: HTML | None = None
        self.survey = Survey(lab, self._refresh)
        self.survey.begin()

    def settle(self) -> None:
        """Wait until all is asked."""
        self.survey.job.wait()

    @property
    def standings(self) -> list[Standing]:
        """How far each task is."""
        return [standing(task, self.survey.reports.get(task.id)) for task in self._lab.spec.tasks]

    @property
    def summary(self) -> str:
        """The whole in a sentence."""
        standings = self.standings
        minutes = sum(one.task.minutes for one in standings if not one.done)
        unseen = sum(one.unseen for one in standings)
        points = f"{sum(one.sure for one in standings)} of {self._lab.spec.points} points pass all that you can see"
        left = (
            f"some {minutes} minutes of work are planned for the rest"
            if minutes
            else "nothing is left that you can see"
        )
        return f"{points}{f', {unseen} more only grading asks about' if unseen else ''}; {left}."

    def text(self) -> str:
        """A table."""
        rows = [
            f"{one.task.id:6} {one.state:13} {_points(one):>10}   {one.task.minutes:>4} min   {one.task.title}"
            for one in self.standings
        ]
        return "\n".join([*rows, self.summary, self.survey.note])

    def widget(self) -> Widget:
        """Toolbar and table."""
        from ipywidgets import HTML, Button, HBox, VBox  # noqa: PLC0415 - an extra

        self._again: Button = Button(description="Ask again", icon="refresh")
        self._stop: Button = Button(description="Stop", icon="stop")
        self._again.on_click(lambda _: self.survey.begin())
        self._stop.on_click(lambda _: self.survey.job.stop())
        self._status, self._table = HTML(), HTML()
        self._refresh()
        return VBox([HBox([self._again, self._stop, self._status]), self._table])

    def _refresh(self) -> None:
        if self._table is None:
            return
        self._status.value = said(self.survey.note)
        self._again.disabled, self._stop.disabled = self.survey.job.running, not self.survey.job.running
        head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in HEADINGS)
        rows = "".join(map(_row, self.standings))
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        self._table.value = block(f"<strong>{escape(self.summary)}</strong>{table}")


def _points(one: Standing) -> str:
    return f"{one.sure} of {one.task.points}"


def _row(one: Standing) -> str:
    share = round(100 * one.sure / one.task.points)
    bar = f'<span class="track" aria-hidden="true"><span style="width:{share}%"></span></span>'
    cells = (
        f"<strong>{escape(one.task.id)}</strong> {escape(one.task.title)}",
        one.state,
        _points(one),
        bar,
        one.task.minutes,
    )
    return (
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(cells, HEADINGS, strict=True))
        + "</tr>"
    )
