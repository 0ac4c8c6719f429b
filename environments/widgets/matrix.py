"""The probe matrix: each task on each cloud as a field, and behind it what was asked, expected and answered."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from environments.widgets.decisions import decision
from environments.widgets.shown import Shown, block, said
from environments.widgets.survey import Survey

if TYPE_CHECKING:
    from ipywidgets import Button, Widget

    from environments.lab.api import Lab
    from environments.probes import Observation

SYMBOLS = {True: "✓", False: "✗", None: "–"}
# White text on each of these has a contrast of at least 5:1, on a light page as on a dark one.
COLOURS = {True: "#1b6e3c", False: "#a4262c", None: "#5b6067"}
CHOOSE = "Choose a field: click it, or go there with Tab and press Enter."


def verdict(seen: list[Observation]) -> bool | None:
    """False if any answer is wrong, True if all are right, None if one is missing or none was asked."""
    answers = [one.ok for one in seen]
    if False in answers:
        return False
    return True if answers and all(answers) else None


def field(seen: list[Observation]) -> str:
    """A field in few words, the sign first: colours are not the only one."""
    right = sum(one.ok is True for one in seen)
    count = f"{right} of {len(seen)}" if seen else "not asked"
    return f"{SYMBOLS[verdict(seen)]} {count}"


class Matrix(Shown):
    """Tasks × clouds. `logs` is where the footprint's logs are."""

    def __init__(self, lab: Lab, logs: Path) -> None:
        self._lab = lab
        self._logs = logs
        self._fields: dict[tuple[str, str], Button] = {}
        self._chosen: tuple[str, str] | None = None
        self.survey = Survey(lab, self._refresh)
        self.survey.begin()

    def settle(self) -> None:
        """Wait until all is asked."""
        self.survey.job.wait()

    def text(self) -> str:
        """A table, and below it what is wrong."""
        clouds = list(self._lab.clouds)
        rows = [f"{'':8}" + "".join(f"{cloud:>14}" for cloud in clouds)]
        rows += [
            f"{task.id:8}" + "".join(f"{field(self.survey.cell(task.id, cloud)):>14}" for cloud in clouds)
            for task in self._lab.spec.tasks
        ]
        lines = [line for report in self.survey.reports.values() for line in report.lines if line.ok is False]
        wrong = [
            f"✗ {line.id} {o.request}: expected {o.expected}, got {o.got}" for line in lines for o, _ in line.wrong[:1]
        ]
        return "\n".join([*rows, self.survey.note, *wrong])

    def details(self, task: str, cloud: str) -> str:
        """HTML of what was asked about a task on a cloud; what is wrong stands open, the rest can be opened."""
        seen = self.survey.cell(task, cloud)
        wrong = [one for one in seen if one.ok is not True]
        right = [one for one in seen if one.ok is True]
        head = f"<strong>{escape(task)} on {escape(cloud)}: {field(seen)} answers are as they should be</strong>"
        lists = self._list(task, wrong, "not as it should be", "open") + self._list(task, right, "right", "")
        return block(f'{head}<div class="long" tabindex="0">{lists}</div>')

    def widget(self) -> Widget:
        """Toolbar, fields and details."""
        from ipywidgets import HTML, Button, HBox, VBox  # noqa: PLC0415 - an extra

        self._again, self._stop = (
            Button(description="Ask again", icon="refresh"),
            Button(description="Stop", icon="stop"),
        )
        self._again.on_click(lambda _: self.survey.begin())
        self._stop.on_click(lambda _: self.survey.job.stop())
        self._status, self._details = HTML(), HTML(block(CHOOSE))
        grid = self._grid()
        self._refresh()
        return VBox([HBox([self._again, self._stop, self._status]), grid, self._details])

    def _grid(self) -> Widget:
        from ipywidgets import HTML, Button, GridBox, Layout  # noqa: PLC0415 - an extra

        clouds = list(self._lab.clouds)
        cells: list[Widget] = [HTML(), *(HTML(block(f"<strong>{escape(cloud)}</strong>")) for cloud in clouds)]
        for task in self._lab.spec.tasks:
            cells.append(HTML(block(f"<strong>{escape(task.id)}</strong> {escape(task.title)}")))
            for cloud in clouds:
                button = Button(layout=Layout(width="auto"))
                button.on_click(lambda _, where=(task.id, cloud): self._choose(where))
                self._fields[task.id, cloud] = button
                cells.append(button)
        columns = f"minmax(180px, 260px) repeat({len(clouds)}, 120px)"
        return GridBox(cells, layout=Layout(grid_template_columns=columns, grid_gap="2px 6px", align_items="center"))

    def _choose(self, where: tuple[str, str]) -> None:
        self._chosen = where
        self._details.value = self.details(*where)

    def _refresh(self) -> None:
        """Show how it stands; called by the survey's thread too."""
        if not self._fields:
            return
        self._status.value = said(self.survey.note)
        self._again.disabled, self._stop.disabled = self.survey.job.running, not self.survey.job.running
        for (task, cloud), button in self._fields.items():
            seen = self.survey.cell(task, cloud)
            button.description, button.tooltip = field(seen), f"{task} on {cloud}: {field(seen)}"
            button.style.button_color, button.style.text_color = COLOURS[verdict(seen)], "#ffffff"
        if self._chosen and not self.survey.job.running:
            self._choose(self._chosen)

    def _list(self, task: str, seen: list[Observation], title: str, opened: str) -> str:
        if not seen:
            return ""
        items = "".join(f"<li>{self._item(task, one)}</li>" for one in seen)
        return f"<details {opened}><summary>{len(seen)} {title}</summary><ul>{items}</ul></details>"

    def _item(self, task: str, one: Observation) -> str:
        got = f"{one.got}: {one.detail}" if one.detail else one.got
        lines = [
            f"{SYMBOLS[one.ok]} <strong>{escape(one.check)}</strong> {escape(one.request)}",
            f"expected {escape(one.expected)}",
            f"got {escape(got)}",
            f"<em>{escape(one.why)}</em>",
        ]
        entry = decision(self._logs, one, self.survey.since[task])
        log = f"<details><summary>decision log</summary><pre>{escape(json.dumps(entry, indent=1))}</pre></details>"
        return "<br>".join(lines) + (log if entry else "")
