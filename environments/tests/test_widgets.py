"""What widgets say in words, and how their work is begun, stopped and told of."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from environments.lab.api import Lab
from environments.lab.report import CheckLine, CheckReport
from environments.labspec import load_lab
from environments.probes import Observation
from environments.tests.securing import nowhere
from environments.widgets.decisions import decision
from environments.widgets.job import Job
from environments.widgets.matrix import COLOURS, Matrix, field, verdict
from environments.widgets.panel import Panel
from environments.widgets.progress import Progress, standing

COURSE = Path(__file__).parents[2]
SPEC = load_lab(COURSE, "zero-trust")
SINCE = datetime(2026, 3, 4, 9, 5, tzinfo=UTC)
SEEN = Observation(
    probe_id="tag-only",
    check="ZT-3.2",
    task="ZT-3",
    cloud="aws",
    visible=True,
    why="A tag can be moved.",
    request="create a Pod of features/feature-store on aws, with {spec: {}}",
    expected="refused [ZT-3/digest]",
    got="refused",
    detail="admission webhook denied the request: [ZT-3/digest] <b>x</b>",
    ok=True,
    seconds=0.1,
)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab whose servers do not answer, and whose self-check is ours to say."""
    monkeypatch.setenv("MOD209_COURSE", str(COURSE))
    opened = Lab("zero-trust", nowhere())
    yield opened
    opened.close()


def answering(monkeypatch: pytest.MonkeyPatch, lab: Lab, *, ok: bool | None) -> None:
    """Every check of every task is answered so, on every cloud, with one question each."""

    def check(name: str) -> CheckReport:
        task = lab.spec.task(name)
        lines = tuple(
            CheckLine(c.id, c.title, tuple(replace(SEEN, check=c.id, cloud=cloud, ok=ok) for cloud in lab.clouds))
            for c in task.checks
        )
        return CheckReport(task.id, task.title, lines)

    monkeypatch.setattr(lab, "check", check)


@pytest.mark.parametrize(
    ("answers", "expected", "words"),
    [("++", True, "✓ 2 of 2"), ("+-", False, "✗ 1 of 2"), ("+?", None, "– 1 of 2"), ("", None, "– not asked")],
)
def test_a_field_has_a_sign_beside_its_colour(answers: str, expected: bool | None, words: str) -> None:
    seen = [replace(SEEN, ok={"+": True, "-": False, "?": None}[letter]) for letter in answers]
    assert verdict(seen) is expected
    assert field(seen) == words


@pytest.mark.parametrize("colour", COLOURS.values())
def test_white_text_can_be_read_on_every_colour(colour: str) -> None:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_the_matrix_in_words_has_every_task_and_cloud(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answering(monkeypatch, lab, ok=True)
    text = repr(Matrix(lab, tmp_path))
    assert text.count("✓") == len(lab.spec.tasks) * len(lab.clouds)
    assert "Grading also asks" in text


def test_the_matrix_tells_what_was_asked_as_text(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answering(monkeypatch, lab, ok=False)
    matrix = Matrix(lab, tmp_path)
    assert "✗ ZT-3.2 create a Pod" in repr(matrix)
    html = matrix.details("ZT-3", "aws")
    assert "expected refused [ZT-3/digest]" in html
    assert "<b>x" not in html
    assert "&lt;b&gt;x" in html


def test_a_survey_can_be_stopped_between_tasks(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answering(monkeypatch, lab, ok=True)
    asked = lab.check
    began, go_on = threading.Event(), threading.Event()

    def slow(name: str) -> CheckReport:
        began.set()
        assert go_on.wait(20)
        return asked(name)

    monkeypatch.setattr(lab, "check", slow)
    matrix = Matrix(lab, tmp_path)
    assert began.wait(20)
    matrix.survey.job.stop()
    go_on.set()
    assert "Stopped" in repr(matrix)
    assert list(matrix.survey.reports) == [lab.spec.tasks[0].id]


def test_servers_that_do_not_answer_are_no_reason_for_a_traceback(lab: Lab, tmp_path: Path) -> None:
    text = repr(Matrix(lab, tmp_path))
    assert "✓" not in text
    assert all(task.id in text for task in lab.spec.tasks)


def test_progress_counts_only_what_passes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lab, ok=True)
    assert f"{lab.spec.points} of {lab.spec.points} points" in repr(Progress(lab))
    answering(monkeypatch, lab, ok=False)
    text = repr(Progress(lab))
    assert f"0 of {lab.spec.points} points" in text
    assert f"some {sum(task.minutes for task in lab.spec.tasks)} minutes" in text


def test_what_only_grading_asks_is_neither_passed_nor_missing() -> None:
    task = SPEC.tasks[0]
    lines = [CheckLine(c.id, c.title, (replace(SEEN, check=c.id),)) for c in task.checks]
    lines[4] = CheckLine(task.checks[4].id, "", ())
    stands = standing(task, CheckReport(task.id, task.title, tuple(lines)))
    assert (stands.sure, stands.unseen) == (task.points - task.checks[4].points, task.checks[4].points)
    assert stands.done
    assert not standing(task, None).done


def test_a_panel_without_a_footprint_says_how_to_start_one(lab: Lab, tmp_path: Path) -> None:
    assert repr(Panel(lab, tmp_path)) == "The footprint of zero-trust is not running. Start it: mod209 up zero-trust"


def test_a_panel_tells_why_something_failed(lab: Lab, tmp_path: Path) -> None:
    panel = Panel(lab, tmp_path)
    panel.begin("Reset all", panel.reset)
    panel.settle()
    assert "not running" in panel.note


def test_one_piece_of_work_at_a_time() -> None:
    go_on, done = threading.Event(), []
    job = Job(lambda: None)
    job.begin(lambda: done.append(go_on.wait(20)))
    job.begin(lambda: done.append(False))
    go_on.set()
    job.wait()
    assert done == [True]
    assert not job.running


def entry(**changes: Any) -> dict[str, Any]:
    request = {
        "operation": "CREATE",
        "kind": {"kind": "Pod"},
        "namespace": "features",
        "name": "feature-store-1",
        "object": {"spec": "long"},
    }
    status = {"code": 403, "message": "[ZT-3/digest] <b>x</b>"}
    return {
        "decision_id": "1",
        "input": {"request": request | changes},
        "result": {"response": {"uid": "u", "allowed": False, "status": status}},
        "time": (SINCE + timedelta(seconds=1)).isoformat(),
    }


@pytest.mark.parametrize(
    ("logged", "found"),
    [
        (entry(), True),
        (entry(kind={"kind": "Deployment"}), False),
        (entry(operation="UPDATE"), False),
        (entry(namespace="serving"), False),
        (entry(name="other-1"), False),
        (entry() | {"time": (SINCE - timedelta(seconds=1)).isoformat()}, False),
        (entry() | {"result": {"response": {"allowed": True}}}, False),
    ],
)
def test_a_decision_belongs_to_a_question_only_if_it_fits(tmp_path: Path, logged: dict[str, Any], found: bool) -> None:
    (tmp_path / "aws-opa.log").write_text(f'not json "decision_id"\n{json.dumps(logged)}\n')
    seen = decision(tmp_path, SEEN, SINCE)
    assert bool(seen) is found
    assert "long" not in json.dumps(seen)


def test_no_log_is_no_error(tmp_path: Path) -> None:
    assert decision(tmp_path, SEEN, SINCE) is None
    assert decision(tmp_path, replace(SEEN, request="log in"), SINCE) is None
