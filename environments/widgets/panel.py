"""The footprint panel: whether each server runs, the last lines of its log, and buttons to start, stop and reset."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from environments.errors import CourseError
from environments.footprint import Footprint, Part, is_running, start
from environments.supervisor.process import tail
from environments.widgets.job import Job
from environments.widgets.shown import Shown, block, said

if TYPE_CHECKING:
    from ipywidgets import Button, Widget

    from environments.lab.api import Lab

MIB = 1 << 20
WARNING = ("#8a4b00", "#ffffff")  # ipywidgets' own has too little contrast on a light page
ELSEWHERE = "Other notebooks that are open: run their first code cell again."
Work = Callable[[], str]


class Panel(Shown):
    """The footprint of `lab`, which lives in `directory`."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._directory = directory
        self.note = ""
        self.job = Job(self._refresh)
        self._buttons: dict[str, Button] = {}
        self._sure = ""  # the button that was pressed once, and asks to be pressed again

    def status(self) -> dict[str, Any] | None:
        """State of every server, None if the footprint does not run."""
        if not is_running(self._directory):
            return None
        try:
            return Footprint(self._directory).status()
        except CourseError:
            return None

    def settle(self) -> None:
        """Wait for what a button has begun."""
        self.job.wait()

    def text(self) -> str:
        """A table."""
        status = self.status()
        if status is None:
            return f"The footprint of {self._lab.slug} is not running. Start it: mod209 up {self._lab.slug}"
        rows = [f"{mark} {name:22} {state:14} {memory:>6} MiB" for mark, name, state, memory in _servers(status)]
        return "\n".join([*rows, *([self.note] if self.note else [])])

    def begin(self, name: str, work: Work) -> None:
        """Do `work`, called `name`, in the background; what it returns or why it failed becomes the note."""

        def told() -> None:
            self._say(f"{name} …")
            self.note = f"{name}: stopped."
            try:
                self.note = work()
            except CourseError as error:
                self.note = f"{error.message} {error.hint}"

        self.job.begin(told)

    def reset(self, part: Part | None = None) -> str:
        """Put everything or one part back; returns a sentence."""
        report = Footprint(self._directory).reset(part)
        self._lab.reopen()
        return f"Reset of {part or 'everything'}: clean after {report['seconds'] * 1000:.0f} ms. {ELSEWHERE}"

    def start(self) -> str:
        """Start the footprint with this learner's facts; returns a sentence."""

        def tell(event: str) -> None:
            self.job.heed()
            self._say(f"Starting: {event}")

        access = self._lab.access
        start(self._lab.slug, provider=access.provider, directory=self._directory, params=access.params, progress=tell)
        self._lab.reopen()
        return f"Started, and empty: run your notebooks from the top. {ELSEWHERE}"

    def stop(self) -> str:
        """Stop the footprint; returns a sentence."""
        Footprint(self._directory).down()
        return "Stopped. Your notebooks and files stay as they are."

    def widget(self) -> Widget:
        """Health, logs and buttons."""
        from ipywidgets import HTML, Dropdown, HBox, Layout, VBox  # noqa: PLC0415 - an extra

        self._health, self._status, self._log = HTML(), HTML(), HTML()
        self._choice = Dropdown(options=self._logs(), description="Log of", layout=Layout(width="320px"))
        self._choice.observe(lambda _: self._show_log(), "value")
        first = [
            self._button("Refresh", "refresh", None),
            self._button("Start", "play", self.start),
            self._button("Stop", "stop", self.stop, sure=True),
            self._button("Cancel", "times", None),
        ]
        resets: list[Part | None] = [None, *get_args(Part)]
        second = [self._reset_button(part) for part in resets]
        self._refresh()
        self._health.layout = Layout(flex="0 0 auto", width="330px")
        beside = HBox(
            [self._health, VBox([self._choice, self._log], layout=Layout(flex="1 1 auto", min_width="300px"))]
        )
        return VBox([HBox(first), HBox(second), self._status, beside])

    def _reset_button(self, part: Part | None) -> Button:
        return self._button(f"Reset {part or 'all'}", "undo", lambda: self.reset(part), sure=part is None)

    def _button(self, name: str, icon: str, work: Work | None, *, sure: bool = False) -> Button:
        from ipywidgets import Button, Layout  # noqa: PLC0415 - an extra

        button = self._buttons[name] = Button(description=name, icon=icon, layout=Layout(width="150px"))
        button.on_click(lambda _: self._pressed(name, work, sure=sure))
        return button

    def _pressed(self, name: str, work: Work | None, *, sure: bool) -> None:
        if sure and self._sure != name:
            self._sure = name
        else:
            self._sure = ""
            if name == "Cancel":
                self.job.stop()
            elif work:
                self.begin(name, work)
        self._refresh()

    def _say(self, note: str) -> None:
        self.note = note
        if self._buttons:
            self._status.value = said(note)

    def _refresh(self) -> None:
        if not self._buttons:
            return
        status, busy = self.status(), self.job.running
        self._health.value = block(_table(status) if status else "<strong>✗ The footprint does not run.</strong>")
        self._status.value = said(self.note)
        for name, button in self._buttons.items():
            button.disabled = busy != (name == "Cancel") or (name == "Start" and status is not None)
            button.disabled |= name.startswith(("Stop", "Reset")) and status is None
            button.description = f"Sure? {name}" if name == self._sure else name
            button.style.button_color, button.style.text_color = WARNING if name == self._sure else (None, None)
        if list(self._choice.options) != (logs := self._logs()):
            self._choice.options = logs
        self._show_log()

    def _logs(self) -> list[str]:
        return sorted(path.stem for path in (self._directory / "logs").glob("*.log"))

    def _show_log(self) -> None:
        log = self._directory / "logs" / f"{self._choice.value}.log"
        lines = tail(log).replace("  | ", "") if log.is_file() else "no log yet"
        self._log.value = block(f'<pre tabindex="0" aria-label="last lines of the log">{escape(lines)}</pre>')


def _servers(status: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Sign, name, state and MiB of each server."""
    return [
        ("✓" if one["state"] == "running" else "✗", name, one["state"], f"{one['rss_bytes'] / MIB:.0f}")
        for name, one in sorted(status["servers"].items())
    ]


def _table(status: dict[str, Any]) -> str:
    servers = _servers(status)
    up = sum(mark == "✓" for mark, *_ in servers)
    head = f"<strong>{'✓' if status['ready'] else '✗'} {up} of {len(servers)} servers run, {status['rss_bytes'] / MIB:.0f} MiB</strong>"
    rows = "".join(
        f'<tr><td>{mark}</td><td>{escape(name)}</td><td>{escape(state)}</td><td class="number">{memory} MiB</td></tr>'
        for mark, name, state, memory in servers
    )
    return f"{head}<table><tbody>{rows}</tbody></table>"
