"""What `lab.check` answers: a table in the notebook, on a terminal, or as text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape

from rich.console import Group
from rich.table import Table
from rich.text import Text

from environments.lab.guide import Guide
from environments.probes import Observation

SYMBOLS = {True: "✓ passes", False: "✗ fails", None: "– not asked"}
COLOURS = {True: "green", False: "red", None: "yellow"}
CELL_STYLE = "text-align:left;vertical-align:top"
NO_QUESTION = "only grading asks about this one"
HEADINGS = ("", "Check", "What was asked and answered")


@dataclass(frozen=True)
class CheckLine:
    """One check and what was observed for it."""

    id: str
    title: str
    observations: tuple[Observation, ...]
    guide: Guide | None = None

    @property
    def ok(self) -> bool | None:
        """False if any answer was wrong, else None if any is missing or nothing could be asked, else True."""
        answers = [observation.ok for observation in self.observations]
        if False in answers:
            return False
        return True if answers and all(answers) else None

    @property
    def wrong(self) -> list[tuple[Observation, int]]:
        """Of each probe the first observation that is not as it should be, and how many more there are like it."""
        wrong = [observation for observation in self.observations if observation.ok is not True]
        firsts = {observation.probe_id: observation for observation in reversed(wrong)}
        more = Counter(observation.probe_id for observation in wrong)
        return [(observation, more[name] - 1) for name, observation in reversed(firsts.items())]

    def text(self) -> str:
        """What was asked, expected and answered where it is not as it should be; several lines, or none."""
        said = [f"{o.request}\n  {_answer(o)}{_more(more)}\n  why: {o.why}" for o, more in self.wrong]
        return "\n".join(said + [f"{name}: {text}" for name, text in self.lessons])

    @property
    def lessons(self) -> list[tuple[str, str]]:
        """What a check that does not pass has to teach: name and text, if the course says any."""
        if self.guide is None or self.ok is not False:
            return []
        return [
            ("control", self.guide.control),
            ("stops", self.guide.technique),
            ("read", "; ".join(self.guide.reading)),
            ("stuck?", f'lab.hint("{self.id}")'),
        ]

    def html(self) -> str:
        """A table row."""
        cells = (
            f"<strong>{SYMBOLS[self.ok]}</strong>",
            f"{escape(self.id)} {escape(self.title)}",
            self._html_details(),
        )
        return f"<tr>{''.join(f'<td style={CELL_STYLE!r}>{cell}</td>' for cell in cells)}</tr>"

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "id": self.id,
            "title": self.title,
            "ok": self.ok,
            "observations": [_as_dict(o) for o in self.observations],
        }

    def _html_details(self) -> str:
        if not self.observations:
            return NO_QUESTION
        if not self.wrong:
            return f"all {len(self.observations)} answers are as they should be"
        lessons = "".join(f"<br><strong>{escape(name)}</strong> {escape(text)}" for name, text in self.lessons)
        items = "".join(map(_html_item, self.wrong))
        return f'<ul style="margin:0">{items}</ul><div style="margin-top:-1em">{lessons}</div>'


@dataclass(frozen=True)
class CheckReport:
    """The checks asked about; `.ok` says whether all pass as far as the visible questions can tell."""

    task: str
    title: str
    lines: tuple[CheckLine, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passes that can be asked about here."""
        return bool(self.asked) and all(line.ok for line in self.asked)

    @property
    def asked(self) -> list[CheckLine]:
        """The checks about which there are visible questions."""
        return [line for line in self.lines if line.observations]

    @property
    def summary(self) -> str:
        """The whole in a sentence or two."""
        if not self.asked:
            return f"{self.task} {self.title}: nothing was asked here; the judge asks after the notebook has ended."
        passed = sum(line.ok is True for line in self.lines)
        advice = (
            "Grading also asks what you cannot see here." if self.ok else "Mend the first that fails, then ask again."
        )
        return f"{self.task} {self.title}: {passed} of {len(self.asked)} checks pass. {advice}"

    def __repr__(self) -> str:
        return "\n".join([self.summary, *(_text_row(line) for line in self.lines)])

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in HEADINGS)
        body = "".join(line.html() for line in self.lines)
        return (
            f"<p><strong>{escape(self.summary)}</strong></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def __rich__(self) -> Group:
        table = Table(*HEADINGS)
        for line in self.lines:
            table.add_row(
                Text(SYMBOLS[line.ok], COLOURS[line.ok]),
                Text(f"{line.id} {line.title}"),
                Text(line.text() if line.observations else NO_QUESTION),
            )
        return Group(Text(self.summary, "bold"), table)

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {"task": self.task, "ok": self.ok, "checks": [line.as_dict() for line in self.lines]}


def _answer(o: Observation) -> str:
    return f"expected {o.expected}, got {o.got}" + (f": {o.detail}" if o.detail else "")


def _as_dict(o: Observation) -> dict[str, object]:
    asked = {"cloud": o.cloud, "request": o.request, "expected": o.expected, "got": o.got}
    return {**asked, "detail": o.detail, "why": o.why, "ok": o.ok}


def _more(count: int) -> str:
    return f" (and {count} more like this)" if count else ""


def _html_item(wrong: tuple[Observation, int]) -> str:
    observation, more = wrong
    asked, answer, why = escape(observation.request), escape(_answer(observation)), escape(observation.why)
    return f"<li>{asked}<br>{answer}{_more(more)}<br><em>{why}</em></li>"


def _text_row(line: CheckLine) -> str:
    if not line.observations:
        return f"{SYMBOLS[None]:<12} {line.id:<8} {line.title} ({NO_QUESTION})"
    details = "".join(f"\n    {text}" for text in line.text().splitlines())
    return f"{SYMBOLS[line.ok]:<12} {line.id:<8} {line.title}{details}"
