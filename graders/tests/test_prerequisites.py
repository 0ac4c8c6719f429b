"""One slip is not paid twice: what stands on a failed task is judged on the reference's version of that one too."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from environments.labspec import CheckSpec, LabSpec, TaskSpec
from graders.intake import take_in
from graders.prerequisites import answered, bases, redeemed, slipped, standing
from graders.tests.batches import RELEASE, hand_in
from graders.tests.batches import SPEC as LAB
from graders.verdicts import CheckVerdict, Outcome, judged


def task(number: int, *prerequisites: int) -> TaskSpec:
    name = f"ZT-{number}"
    checks = [CheckSpec(id=f"{name}.{place}", title=name, points=place) for place in (1, 2)]
    return TaskSpec(
        id=name,
        title=name,
        notebook=f"zt-{number}.ipynb",
        minutes=1,
        needs="identity",
        prerequisites=[f"ZT-{one}" for one in prerequisites],
        checks=checks,
    )


def lab(*tasks: TaskSpec) -> LabSpec:
    return LabSpec(schema=1, slug="a-lab", title="A lab", version="1", criterion="It works", tasks=list(tasks))


SPEC = lab(task(1), task(2, 1), task(3), task(4, 2))
IDS = [check.id for check in SPEC.checks]
TASKS = {one.id for one in SPEC.tasks}


def verdicts(failed: Collection[str]) -> list[CheckVerdict]:
    return [judged(SPEC, check, Outcome.FAILED if check in failed else Outcome.PASSED) for check in IDS]


def failed(checks: list[CheckVerdict]) -> set[str]:
    return {check.id for check in checks if check.outcome is Outcome.FAILED}


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((), set()),
        (("ZT-1.1",), set()),  # nothing that stands on it has failed
        (("ZT-2.1",), set()),  # its base holds
        (("ZT-1.1", "ZT-2.2"), {"ZT-1"}),
        (("ZT-1.1", "ZT-3.1"), set()),
        (("ZT-1.1", "ZT-4.1"), {"ZT-1"}),  # through ZT-2
        (("ZT-1.1", "ZT-2.1", "ZT-4.1"), {"ZT-1", "ZT-2"}),
    ],
)
def test_only_a_failed_task_under_a_failed_one_is_replaced(lost: tuple[str, ...], expected: set[str]) -> None:
    assert slipped(SPEC, verdicts(lost), TASKS) == expected


def test_who_has_not_answered_has_no_slip_to_forgive() -> None:
    assert slipped(SPEC, verdicts(IDS), TASKS - {"ZT-2", "ZT-4"}) == set()


SOME_CHECKS, SOME_TASKS = st.sets(st.sampled_from(IDS)), st.sets(st.sampled_from(sorted(TASKS)))


@given(first=SOME_CHECKS, second=SOME_CHECKS, tasks=SOME_TASKS)
def test_a_second_look_takes_nothing_away_and_gives_only_to_what_is_looked_at(
    first: set[str], second: set[str], tasks: set[str]
) -> None:
    lost = failed(redeemed(verdicts(first), verdicts(second), tasks))
    assert first & second <= lost <= first
    assert all(check.split(".")[0] in tasks for check in first - lost)


@given(lost=SOME_CHECKS, replaced=SOME_TASKS)
def test_what_is_looked_at_again_has_not_passed_and_stands_on_the_replaced(lost: set[str], replaced: set[str]) -> None:
    for outcome in (Outcome.FAILED, Outcome.NOT_GRADED):
        checks = [judged(SPEC, check, outcome if check in lost else Outcome.PASSED) for check in IDS]
        assert standing(SPEC, checks, replaced) == {
            one.id
            for one in SPEC.tasks
            if bases(SPEC, one) & replaced and one.id not in replaced and lost & {check.id for check in one.checks}
        }


def test_a_task_may_stand_on_earlier_ones_only() -> None:
    with pytest.raises(ValidationError, match="ZT-1 stands on ZT-2, which is no earlier task"):
        lab(task(1, 2), task(2))


def test_a_notebook_that_never_ran_or_is_as_it_was_released_is_no_answer(tmp_path: Path) -> None:
    folder = hand_in(tmp_path / "submitted", "ada")
    (folder / LAB.tasks[1].notebook).write_bytes((RELEASE / LAB.tasks[1].notebook).read_bytes())
    (staged,) = take_in(tmp_path / "submitted", LAB, RELEASE, tmp_path / "staging").staged
    ran = [one.notebook for one in LAB.tasks]
    rest = {one.id for one in LAB.tasks} - {LAB.tasks[1].id}
    assert answered(LAB, RELEASE, staged.path, ran) == rest
    assert answered(LAB, RELEASE, staged.path, ran[1:]) == rest - {LAB.tasks[0].id}
