"""The lab's own graders, whole: variants of zero-trust through cage and judge."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from environments.labspec import LabSpec, load_lab
from environments.tests.tier import THOROUGH
from graders.variants import Variant, load_variants
from graders.verify import verify, wanted

COURSE = Path(__file__).parents[2]
LAB = "zero-trust"
A_LITTLE = 4  # checks


@pytest.fixture(scope="module")
def spec() -> LabSpec:
    return load_lab(COURSE, LAB)


@pytest.fixture(scope="module")
def variants(spec: LabSpec) -> list[Variant]:
    return wanted(load_variants(COURSE, spec), "local", ())


def each_check_caught(spec: LabSpec, variants: list[Variant]) -> list[str]:
    """Names of two right answers a task, and of so few broken ones that each check still has one that fails it.

    What is broken a little says more than what fails everything, so those are chosen first.
    """
    right = [
        [one.name for one in variants if one.kind == "alternative" and one.name.startswith(task.id.lower())][:2]
        for task in spec.tasks
    ]
    chosen, left = ["reference", *chain.from_iterable(right)], {check.id for check in spec.checks}
    broken = [one for one in variants if one.kind == "broken"]
    while left:
        gains = {one.name: len(left.intersection(one.expected)) for one in broken}
        assert any(gains.values()), f"no variant fails {left}"
        best = max(broken, key=lambda one: min(gains[one.name], A_LITTLE) / max(len(one.expected), A_LITTLE))
        chosen.append(best.name)
        left.difference_update(best.expected)
    return chosen


def test_every_task_has_four_broken_variants_and_a_right_one_that_is_not_the_reference(
    spec: LabSpec, variants: list[Variant]
) -> None:
    count = Counter((one.kind, one.name[:4].upper()) for one in variants)
    assert min(count["broken", task.id] for task in spec.tasks) >= 4
    assert min(count["alternative", task.id] for task in spec.tasks) >= 1


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_right_answers_pass_and_each_broken_one_fails_exactly_what_it_names(
    spec: LabSpec, variants: list[Variant]
) -> None:
    some = [] if THOROUGH else each_check_caught(spec, variants)
    matrix = verify(COURSE, LAB, lambda step: None, workers=2, together=True, only=some)
    wrong = {row.variant.name: (sorted(row.failed), sorted(row.variant.expected)) for row in matrix.rows if not row.ok}
    assert not wrong
    caught = {check for row in matrix.rows if row.variant.kind == "broken" for check in row.failed}
    assert caught == {check.id for check in spec.checks}
