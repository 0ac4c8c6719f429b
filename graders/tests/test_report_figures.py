"""What the class report counts: criterion, spread of scores, checks that fail, twins, slow ones, times of steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.report.criterion import MET, NOT_MET, OPEN, criterion, shortfalls
from graders.report.figures import alike, histogram, most_failed
from graders.report.timing import percentile, slow, step_times
from graders.tests.test_report import RESULTS, SECONDS, SPEC, graded
from graders.verdicts import Outcome, conclude, judged


@pytest.mark.parametrize(("learner", "word"), list(enumerate([MET, NOT_MET, OPEN, OPEN, OPEN])))
def test_criterion_is_met_by_a_final_grade_with_all_critical_checks_passed(learner: int, word: object) -> None:
    assert criterion(SPEC, RESULTS.submissions[learner]) is word


def test_a_check_that_is_not_critical_does_not_cost_the_criterion() -> None:
    assert criterion(SPEC, graded("eve", "ZT-2.3")) is MET
    assert criterion(SPEC, graded("eve", "ZT-1.1", skipped=("ZT-2.1",))) is NOT_MET


@pytest.mark.parametrize(
    ("lost", "word"),
    [
        ({"ZT-2.2": ["azure"], "ZT-2.3": ["azure"]}, NOT_MET),  # 7 of 12 points on azure
        ({"ZT-2.2": ["azure"], "ZT-2.3": ["aws"]}, MET),  # 9 and 10 of 12
        ({"ZT-2.2": [], "ZT-2.3": ["aws"]}, NOT_MET),  # what holds nowhere counts on every cloud
    ],
)
def test_each_task_must_hold_on_its_worst_cloud(lost: dict[str, list[str]], word: object) -> None:
    checks = [
        judged(SPEC, check.id, Outcome.FAILED if check.id in lost else Outcome.PASSED, failed_on=lost.get(check.id, ()))
        for check in SPEC.checks
    ]
    result = conclude(SPEC, "eve", None, checks)
    assert criterion(SPEC, result) is word
    assert [sentence.split()[0] for sentence in shortfalls(SPEC, result)] == ["ZT-2"] * (word is NOT_MET)


def test_a_little_without_a_verdict_is_left_out_but_nothing_critical() -> None:
    assert criterion(SPEC, graded("eve", skipped=("ZT-2.3",))) is MET
    assert criterion(SPEC, graded("eve", skipped=("ZT-2.1",))) is OPEN
    many = tuple(check.id for check in SPEC.checks if not check.critical)
    assert criterion(SPEC, graded("eve", skipped=many)) is OPEN


@given(st.integers(1, 200), st.data())
def test_every_score_is_in_one_bar_of_the_histogram(most: int, data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(0, most)))
    buckets = histogram(scores, most)
    assert [point for bucket in buckets for point in range(bucket.low, bucket.high + 1)] == list(range(most + 1))
    assert [bucket.count for bucket in buckets] == [sum(b.low <= s <= b.high for s in scores) for b in buckets]


def test_checks_that_fail_most_come_first() -> None:
    figures = most_failed(SPEC, RESULTS.submissions)
    assert figures[0].spec.id == "ZT-1.2"  # one of two that were judged; ZT-2.3, one of three
    assert (figures[0].failed, figures[0].judged) == (1, 2)
    assert {figure.spec.id for figure in figures if figure.failed} == {"ZT-1.2", "ZT-2.3", "ZT-3.4", "ZT-3.5"}


def test_the_same_submission_of_two_learners_is_seen_but_none_at_all_is_not_the_same() -> None:
    twin = RESULTS.submissions[0].model_copy(update={"learner": "twin"})
    nothing = RESULTS.submissions[4].model_copy(update={"learner": "nothing"})
    found = alike([*RESULTS.submissions, twin, nothing])
    assert [learners for _, learners in found] == [["ada", "twin"]]


def test_only_what_took_far_longer_is_slow() -> None:
    usual = {f"l{i}": {"cage": 5 + i / 10, "judge": 3.0} for i in range(20)}
    assert slow(usual) == {}
    assert slow(usual | {"late": {"cage": 60.0}}) == {"late": 60.0}
    assert slow(usual | {"late": {"cage": 12.0}}) == {}  # far from the others, but nobody's time
    assert slow({"a": {"cage": 1.0}, "b": {"cage": 900.0}}) == {}  # two show no usual time


def test_times_of_steps_leave_out_what_was_not_taken() -> None:
    times = {step.name: step for step in step_times(SECONDS)}
    assert list(times) == ["reset", "cage", "settle", "judge", "all steps"]
    assert (times["cage"].count, times["cage"].p50, times["cage"].p95, times["cage"].longest) == (2, 4.25, 130, 130)
    assert times["all steps"].slowest == "grace.h"
    assert step_times({"noor": {}}) == []


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values_with_enough_below(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
