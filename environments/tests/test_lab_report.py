"""What a learner sees of a self-check."""

from __future__ import annotations

import pytest
from rich.console import Console

from environments.errors import BadInputError
from environments.lab.report import CheckLine, CheckReport
from environments.lab.selfcheck import find_checks
from environments.labspec import LabSpec
from environments.probes import Observation

SPEC = LabSpec.model_validate(
    {
        "schema": 1,
        "slug": "zero-trust",
        "title": "t",
        "version": "1",
        "criterion": "c",
        "tasks": [
            {
                "id": "ZT-1",
                "title": "Identity",
                "notebook": "a.ipynb",
                "minutes": 1,
                "needs": "identity",
                "checks": [{"id": f"ZT-1.{n}", "title": "x", "points": 1} for n in (1, 2)],
            }
        ],
    }
)


def observed(*, ok: bool | None) -> Observation:
    return Observation(
        probe_id="stranger",
        check="ZT-1.1",
        task="ZT-1",
        cloud="aws",
        visible=True,
        why="Anybody could.",
        request="log in on aws with <script>alert(1)</script>",
        expected="refused",
        got="allowed",
        detail="",
        ok=ok,
        seconds=0.1,
    )


def line(answers: str) -> CheckLine:
    """A check with one observation a letter: right (+), wrong (-) or not asked (?)."""
    observations = (observed(ok={"+": True, "-": False, "?": None}[letter]) for letter in answers)
    return CheckLine("ZT-1.1", "A title & more", tuple(observations))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [("++", True), ("+-", False), ("?-", False), ("+?", None), ("", None)],
)
def test_a_check_passes_only_if_every_answer_is_right(answers: str, expected: bool | None) -> None:
    assert line(answers).ok is expected


def test_a_check_without_visible_questions_holds_nothing_back() -> None:
    report = CheckReport("ZT-1", "Identity", (line("+"), line("")))
    assert report.ok
    assert "1 of 1 checks pass" in report.summary
    assert "only grading asks" in repr(report)


def test_nothing_asked_is_not_a_pass() -> None:
    assert not CheckReport("ZT-1", "Identity", ()).ok
    assert not CheckReport("ZT-1", "Identity", (line(""),)).ok


def test_a_wrong_answer_is_shown_once_with_the_number_of_its_kind() -> None:
    text = repr(CheckReport("ZT-1", "Identity", (line("-+--"),)))
    assert text.count("log in on aws") == 1
    assert "expected refused, got allowed (and 2 more like this)" in text
    assert "why: Anybody could." in text


def test_html_shows_texts_as_texts() -> None:
    html = CheckReport("ZT-1", "<b>", (line("-"),))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "A title &amp; more" in html


def test_a_terminal_shows_what_was_asked() -> None:
    console = Console(width=160, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(CheckReport("ZT-1", "Identity", (line("-"),)))
    assert "✗ fails" in captured.get()
    assert "log in on aws" in captured.get()


def test_programs_get_every_observation() -> None:
    answer = CheckReport("ZT-1", "Identity", (line("-+"),)).as_dict()
    assert answer["ok"] is False
    assert [o["ok"] for o in answer["checks"][0]["observations"]] == [False, True]  # type: ignore[index]


def test_a_task_or_one_of_its_checks_can_be_asked_for() -> None:
    assert [check.id for check in find_checks(SPEC, "zt-1")[1]] == ["ZT-1.1", "ZT-1.2"]
    assert [check.id for check in find_checks(SPEC, "ZT-1.2")[1]] == ["ZT-1.2"]


@pytest.mark.parametrize("name", ["ZT-9", "ZT-1.9", "", "ZT-1.1.1"])
def test_a_name_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(BadInputError):
        find_checks(SPEC, name)
