"""The law that what is hidden stays hidden: no word of a hidden probe gets from the judge into anything that people read."""

from __future__ import annotations

import io
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from environments.labspec import load_lab
from environments.probes import Observation
from graders.grading import Graded
from graders.judge.evidence import CannotJudgeError, Evidence, NotHeldError
from graders.judge.job import Line
from graders.judge.judgement import judgement
from graders.judge.plugin import asked, reason
from graders.records import Records
from graders.report import Extras, summary, write_report
from graders.verdicts import Results, conclude, write_results

COURSE = Path(__file__).parents[2]
SPEC = load_lab(COURSE, "zero-trust")
CHECKS = [check.id for check in SPEC.checks]
CLOUDS = ["aws", "azure", "gcp"]
SECRET = "s3cr3t"  # in every text of every hidden observation, and in no other

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda text: SECRET not in text)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """One answer to a probe; if that is hidden, every text of it says so."""
    visible = draw(st.booleans())
    mark = "" if visible else SECRET
    check = draw(st.sampled_from(CHECKS))
    decision = draw(st.sampled_from(["allowed", "refused", "at most 3 s"]))
    return Observation(
        probe_id=f"probe{mark}",
        check=check,
        task=check.split(".")[0],
        cloud=draw(st.sampled_from(CLOUDS)),
        visible=visible,
        why=draw(words) + mark,
        request=draw(words) + mark,
        expected=f"{decision} {mark}",
        got=draw(words) + mark,
        detail=draw(words) + mark,
        ok=draw(st.sampled_from([True, False, None])),
        seconds=0.1,
    )


def line_of(check: str, seen: list[Observation]) -> Line:
    """What the judge's process says of a check on these observations."""
    error: Exception | None
    try:
        Evidence(clouds=CLOUDS, observations=seen).demand("allowed", "refused")
        error = None
    except (NotHeldError, CannotJudgeError) as raised:
        error = raised
    outcome, message = reason("The advice.", error)
    return Line(check=check, outcome=outcome, message=message, seconds=0.1, asked=asked(seen))


@given(st.lists(observations(), max_size=30))
def test_no_word_of_a_hidden_probe_gets_out(seen: list[Observation]) -> None:
    said = b"\n".join(
        line_of(check, [one for one in seen if one.check == check]).model_dump_json().encode() for check in CHECKS
    )
    judged = judgement(SPEC, said, "It ended.")
    result = conclude(SPEC, "ada", "0" * 64, judged.checks)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        records = Records(out / "records", "this grader")
        records.keep(Graded(result=result, extras=Extras(asked=judged.asked)))
        results = Results(lab=SPEC.slug, provider="local", submissions=[result])
        write_report(out, SPEC, results, records.extras({"ada"}))
        write_results(out / "results.json", results)
        files = {path: path.read_text() for path in out.rglob("*") if path.is_file()}
    assert len(files) > 4
    assert [path for path, text in files.items() if SECRET in text] == []
    terminal = io.StringIO()
    Console(file=terminal, width=200).print(summary(SPEC, results))
    assert SECRET not in terminal.getvalue()


@given(st.lists(observations(), min_size=1, max_size=10))
def test_what_is_visible_is_told_or_counted(seen: list[Observation]) -> None:
    """The law above would hold for a judge that says nothing."""
    visible = [one for one in seen if one.visible]
    assert len(asked(seen)) == len(visible)
    assert {one.cloud for one in asked(seen)} == {one.cloud for one in visible}


def test_nonsense_of_the_judge_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    judgement(SPEC, f'{{"check": "ZT-1.1", "outcome": "{SECRET}"}}'.encode(), "x")
    assert "no verdict" in caplog.text
    assert SECRET not in caplog.text
