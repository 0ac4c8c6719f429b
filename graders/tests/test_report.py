"""Reports: what they say, that nothing of a learner's acts in them, and how they look in full (golden files)."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from environments.handin.untrusted import displayable, one_line
from environments.labspec import LabSpec, load_lab
from graders.report import Extras, summary, write_report
from graders.report.feedback import feedback_page
from graders.report.grades import FORMULA, grades_csv
from graders.report.junit import junit_xml
from graders.report.overview import feedback_name, overview_page
from graders.report.pages import script
from graders.report.terminal import MAX_ROWS
from graders.tests.report_class import asked, class_of
from graders.verdicts import Asked, Outcome, Results, SubmissionResult, all_alike, conclude, judged

SPEC = load_lab(Path(__file__).parents[2], "zero-trust")
MADE = datetime(2026, 3, 4, 9, 5, tzinfo=UTC)
GOLDEN = Path(__file__).with_name("golden")
ZT1 = "zt-1-identity-federation.ipynb"
ATTACK = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>&lt;b&gt; {{ 7*7 }} ]]> \x1b[31m\x00\ud800\u202e"


def graded(learner: str, *failed: str, skipped: tuple[str, ...] = ()) -> SubmissionResult:
    advice = (
        "Asked: a token of aws's issuer at azure's login. Expected: refused. Got: a Vault token.\n"
        "Look at what binds each role to its own cloud's issuer, and why one key set for all clouds is not enough."
    )
    reason = "This needs real traffic, which the local provider does not carry."
    checks = [
        judged(SPEC, c.id, Outcome.FAILED, advice, 0.25)
        if c.id in failed
        else judged(SPEC, c.id, Outcome.NOT_GRADED, reason)
        if c.id in skipped
        else judged(SPEC, c.id, Outcome.PASSED, "", 0.125)
        for c in SPEC.checks
    ]
    return conclude(SPEC, learner, learner.encode().hex().ljust(64, "0"), checks)


RESULTS = Results(
    lab="zero-trust",
    provider="local",
    submissions=[
        graded("ada"),
        graded("grace.h", "ZT-1.2", "ZT-3.4", "ZT-3.5"),
        graded("lin", "ZT-2.3", skipped=("ZT-1.1", "ZT-1.2", "ZT-1.3", "ZT-1.4", "ZT-1.5", "ZT-1.6")),
        all_alike(SPEC, "mallory", "e" * 64, Outcome.TAMPERED, "The audit device of Vault was switched off."),
        all_alike(SPEC, "noor", None, Outcome.NOT_GRADED, f"{ZT1} is not valid JSON (Expecting value)."),
    ],
)


def executed(*texts: str) -> bytes:
    outputs = [{"output_type": "stream", "name": "stdout", "text": [text]} for text in texts]
    rich = {"output_type": "display_data", "data": {"text/html": "<script>rich()</script>", "text/plain": "<plain>"}}
    cell = {"cell_type": "code", "source": "<script>", "metadata": {"nbgrader": {"grade_id": "zt-1-roles"}}}
    return json.dumps({"nbformat": 4, "cells": [cell | {"outputs": [*outputs, rich]}]}).encode()


EXTRAS = Extras(
    notes=("model.bin was left out: files of this kind are not graded.", f"{ZT1}: The locked cell ZT-1 was changed."),
    notebooks={ZT1: executed("wrote 5 roles\n"), "zt-2-least-privilege-secrets.ipynb": b"not a notebook"},
    asked={
        "ZT-1.2": (asked("aws", ok=True), asked("azure", ok=None), asked("aws", ok=False), asked("gcp", ok=False)),
        "ZT-1.1": (asked("aws", ok=True),),
    },
)
SECONDS = {
    "ada": {"reset": 0.5, "cage": 4.25, "settle": 0.25, "judge": 3.0},
    "grace.h": {"reset": 0.75, "cage": 130.0, "settle": 0.25, "judge": 2.5},
    "noor": {},
}


class Elements(HTMLParser):
    """Elements, attributes and text of a page, as a browser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_inert(page: str) -> None:
    elements = Elements(page)
    assert not {"img", "iframe", "object", "form", "svg", "link"} & {tag for tag, _ in elements.tags}
    scripts = re.findall(r"<script[^>]*>.*?</script>", page, re.DOTALL)
    assert scripts in ([], [f"<script>{script('table.js').text}</script>"])
    for _, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert not (attributes.get("href") or "").lower().startswith(("javascript:", "data:", "http"))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page)
    page.encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("feedback-graded.html", feedback_page(SPEC, "local", RESULTS.submissions[1], EXTRAS, MADE).encode()),
        ("feedback-partly.html", feedback_page(SPEC, "local", RESULTS.submissions[2], Extras(), MADE).encode()),
        ("feedback-tampered.html", feedback_page(SPEC, "local", RESULTS.submissions[3], Extras(), MADE).encode()),
        ("index.html", overview_page(SPEC, RESULTS, MADE, SECONDS).encode()),
        ("junit.xml", junit_xml(SPEC, RESULTS, MADE, SECONDS)),
        ("grades.csv", grades_csv(SPEC, RESULTS)),
    ],
)
def test_reports_are_as_the_golden_files(name: str, data: bytes) -> None:
    """After a change that is meant, look at the new pages and run again with MOD209_GOLDEN=write."""
    if os.environ.get("MOD209_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_bytes(data)
    assert data.decode() == (GOLDEN / name).read_bytes().decode()


def test_page_says_score_verdict_and_advice_but_none_for_what_passed() -> None:
    text = Elements(feedback_page(SPEC, "local", RESULTS.submissions[1], EXTRAS, MADE)).text
    assert f"{RESULTS.submissions[1].score} of {SPEC.points} points" in text
    assert text.count("one key set for all clouds is not enough") == 3
    assert text.count("✗ Not passed") == 3
    assert "wrote 5 roles" in text
    assert "model.bin was left out" in text
    assert "is not valid JSON" in text


@pytest.mark.parametrize("where", ["message", "error", "learner", "note", "name", "output"])
def test_nothing_of_a_learner_acts_on_any_page(where: str) -> None:
    result = all_alike(SPEC, ATTACK if where == "learner" else "eve", None, Outcome.NOT_GRADED, "reason")
    if where in {"message", "error"}:
        result = all_alike(SPEC, "eve", None, Outcome.NOT_GRADED, ATTACK)
    name, output = (ATTACK if where == "name" else ZT1), (ATTACK if where == "output" else "out")
    extras = Extras(notes=(ATTACK,) if where == "note" else (), notebooks={name: executed(output)})
    page = feedback_page(SPEC, "local", result, extras, MADE)
    batch = Results(lab="zero-trust", provider="local", submissions=[result])
    assert_inert(page)
    assert_inert(overview_page(SPEC, batch, MADE))
    assert "49" not in Elements(page).text.replace("{{ 7*7 }}", "")
    assert "rich()" not in page
    suite = ET.fromstring(junit_xml(SPEC, batch, MADE)).find("testsuite")
    assert suite is not None
    assert suite.get("skipped") == str(len(SPEC.checks))


def test_endless_outputs_make_a_small_page() -> None:
    flood = Extras(
        notes=("n" * 9999,) * 999, notebooks={f"{i}.ipynb": executed(*["x" * 50_000] * 60) for i in range(3)}
    )
    page = feedback_page(SPEC, "local", RESULTS.submissions[0], flood, MADE)
    assert "(cut)" in page
    assert len(page) < 100_000


def test_every_learner_has_a_page_that_the_overview_links(tmp_path: Path) -> None:
    odd = all_alike(SPEC, "'../../etc'", None, Outcome.NOT_GRADED, "odd name")
    results = RESULTS.model_copy(update={"submissions": [*RESULTS.submissions, odd]})
    write_report(tmp_path, SPEC, results, {"ada": EXTRAS}, MADE)
    links = [
        attributes["href"] for tag, attributes in Elements((tmp_path / "index.html").read_text()).tags if tag == "a"
    ]
    pages = [link for link in links if link and link.startswith("feedback/")]
    assert {tmp_path / page for page in pages} == set((tmp_path / "feedback").iterdir())
    assert len(set(pages)) == len(results.submissions)
    assert "wrote 5 roles" in (tmp_path / "feedback/ada.html").read_text()


@given(st.text())
def test_a_page_s_name_is_a_plain_file_name(learner: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@-]*\.html", feedback_name(learner))


def test_overview_tells_verdicts_in_words_not_by_colour_alone() -> None:
    elements = Elements(overview_page(SPEC, RESULTS, MADE))
    for word in ("Graded", "Partly graded", "Not graded", "Tampered"):
        assert word in elements.text
    assert all(attributes.get("scope") for tag, attributes in elements.tags if tag == "th")
    assert ("html", {"lang": "en"}) in elements.tags


def test_junit_counts_fit_the_verdicts() -> None:
    root = ET.fromstring(junit_xml(SPEC, RESULTS, MADE))
    counts = {s.get("name"): tuple(s.get(k) for k in ("failures", "skipped", "errors")) for s in root}
    everything = str(len(SPEC.checks))
    assert counts == {
        "ada": ("0", "0", "0"),
        "grace.h": ("3", "0", "0"),
        "lin": ("1", "6", "0"),
        "mallory": ("0", "0", everything),
        "noor": ("0", everything, "0"),
    }
    assert len(root.findall(".//failure")) == 4


def test_page_shows_what_was_asked_wrong_answers_first_and_of_passed_checks_nothing() -> None:
    text = Elements(feedback_page(SPEC, "local", RESULTS.submissions[1], EXTRAS, MADE)).text
    assert text.count("What we asked, and what came back") == 1
    assert "2 answered wrongly, 1 could not be asked, 1 answered as they must be" in text
    assert text.index("allowed") < text.index("not asked")
    assert text.count("log in to Vault as training/trainer") == 2  # aws and gcp in one


def test_many_requests_make_a_short_list() -> None:
    many = tuple(asked("aws", ok=False).model_copy(update={"request": f"request {i} " + "x" * 1900}) for i in range(60))
    extras = Extras(asked={check.id: many for check in SPEC.checks})
    page = feedback_page(SPEC, "local", graded("eve", *(check.id for check in SPEC.checks)), extras, MADE)
    assert "and 52 more like these" in page
    assert len(page) < 500_000


class Reading(Mapping[str, Extras]):
    """Counts look-ups, as a mapping would that reads from disk."""

    def __init__(self, extras: dict[str, Extras]) -> None:
        self.extras = extras
        self.read: list[str] = []

    def __getitem__(self, learner: str) -> Extras:
        self.read.append(learner)
        return self.extras[learner]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("nobody needs all of them")

    def __len__(self) -> int:
        raise AssertionError("nobody needs all of them")


def test_each_learner_s_extras_are_looked_up_once_and_in_order(tmp_path: Path) -> None:
    results, extras = class_of(SPEC, 40)
    reading = Reading(extras)
    write_report(tmp_path, SPEC, results, reading, MADE)
    assert reading.read == [one.learner for one in results.submissions]
    page = (tmp_path / "index.html").read_text()
    assert_inert(page)
    text = Elements(page).text
    for phrase in ("Took far longer than the rest: 1", "byte for byte: 1", "zero points: 2", "vault: sys/audit"):
        assert phrase in text


def test_junit_time_is_that_on_the_clock_where_it_is_known() -> None:
    root = ET.fromstring(junit_xml(SPEC, RESULTS, MADE, SECONDS))
    lins = sum(check.seconds for check in RESULTS.submissions[2].checks)
    assert [suite.get("time") for suite in root][:3] == ["8.000", "133.500", f"{lins:.3f}"]


TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from(
    [ATTACK, "=1+1", "\t=1", " @x", "-2", "＝1", 'a,b"c', "line\r\nbreak", "</style><script>x", "' onload=x '", ""]
)
ASKED = st.builds(
    Asked,
    cloud=TEXT,
    request=TEXT,
    expected=TEXT,
    got=TEXT,
    detail=TEXT,
    why=TEXT,
    ok=st.sampled_from([True, False, None]),
)


@settings(max_examples=25, deadline=None)
@given(TEXT, TEXT, TEXT, TEXT, TEXT, st.lists(ASKED, max_size=3), st.sampled_from(list(Outcome)))
def test_whatever_comes_in_no_page_and_no_cell_acts(
    learner: str, message: str, note: str, name: str, output: str, sent: list[Asked], outcome: Outcome
) -> None:
    checks = [judged(SPEC, check.id, outcome, message) for check in SPEC.checks]
    result = conclude(SPEC, learner, None, checks, error=message)
    batch = Results(lab="zero-trust", provider="local", submissions=[result])
    extras = Extras(
        notes=(note,), notebooks={name: executed(output)}, asked={check.id: tuple(sent) for check in SPEC.checks}
    )
    plain = Extras(asked={check.id: (asked("aws", ok=one.ok),) for check in SPEC.checks for one in sent})
    page = feedback_page(SPEC, "local", result, extras, MADE)
    assert_inert(page)
    assert_inert(overview_page(SPEC, batch, MADE, {result.learner: {"cage": 1.0}}))
    assert known(page) <= known(feedback_page(SPEC, "local", RESULTS.submissions[1], EXTRAS, MADE)) | known(
        feedback_page(SPEC, "local", result, plain, MADE)
    )
    ET.fromstring(junit_xml(SPEC, batch, MADE))
    rows = list(csv.reader(StringIO(grades_csv(SPEC, batch).decode(), newline=""), strict=True))
    assert [len(row) for row in rows] == [len(rows[0])] * 2
    assert not [cell for row in rows for cell in row if cell.startswith(FORMULA)]
    assert all(char.isprintable() for row in rows for cell in row for char in cell)


def known(page: str) -> set[tuple[str, frozenset[str]]]:
    """Which elements with which attributes a page has: a text that acts would add to them."""
    return {(tag, frozenset(attributes)) for tag, attributes in Elements(page).tags}


def test_csv_says_what_the_results_say() -> None:
    data = grades_csv(SPEC, RESULTS)
    rows = {row["learner"]: row for row in csv.DictReader(StringIO(data.decode(), newline=""))}
    assert data.count(b"\r\n") == data.count(b"\n") == 1 + len(RESULTS.submissions)
    whole = {task.id: str(task.points) for task in SPEC.tasks}
    assert rows["ada"] | {"sha256": ""} == {
        "learner": "ada", "verdict": "graded", "score": str(SPEC.points), "max_score": str(SPEC.points), "final": "yes",
        "criterion_met": "yes", **whole, "sha256": "", "error": "",
    }  # fmt: skip
    assert (rows["lin"]["ZT-1"], rows["lin"]["final"], rows["lin"]["criterion_met"]) == ("", "no", "no")
    assert rows["mallory"]["error"] == "The audit device of Vault was switched off."


def test_summary_of_a_large_batch_shows_those_who_need_a_person_and_counts_the_others() -> None:
    results, _ = class_of(SPEC, 60)
    console = Console(width=160, record=True, file=StringIO())
    console.print(summary(SPEC, results))
    text = console.export_text()
    held = [one for one in results.submissions if not one.final]
    assert 0 < len(held) < MAX_ROWS
    assert all(one.learner in text for one in held)
    assert f"and {60 - MAX_ROWS} more: {60 - MAX_ROWS} Graded." in text
    assert len(text.splitlines()) < 60


def test_terminal_summary_has_every_learner_and_no_markup_of_theirs(zt_spec: LabSpec) -> None:
    sly = graded("ada").model_copy(update={"learner": "[red]sly[/red]"})
    console = Console(width=100, record=True, file=StringIO())
    console.print(summary(zt_spec, RESULTS.model_copy(update={"submissions": [*RESULTS.submissions, sly]})))
    text = console.export_text()
    for word in ("ada", "[red]sly[/red]", "✓ Graded", "◐ Partly graded", "! Tampered", "mallory: The audit device"):
        assert word in text


@given(st.text(st.characters(exclude_categories=())), st.integers(10, 50))
def test_displayable_text_is_bounded_printable_and_stable(text: str, limit: int) -> None:
    shown = displayable(text, limit)
    assert len(shown) <= limit
    assert all(char.isprintable() or char in "\n\t" for char in shown)
    assert "\n" not in one_line(text, limit)
    shown.encode()


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=50))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert displayable(text, 50) == text
