"""Variants that share a submission can be told apart, and none is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graders.company import alone, companies
from graders.tests.batches import COURSE, SPEC
from graders.variants import Variant, load_variants
from graders.verdicts import Outcome, conclude, judged
from graders.verify import Row

ALL = [variant for variant in load_variants(COURSE, SPEC) if variant.kind != "hostile"]


@given(st.lists(st.sampled_from(ALL), unique_by=lambda one: one.name))
def test_a_company_can_be_told_apart_and_nobody_is_lost(variants: list[Variant]) -> None:
    groups = companies(SPEC, variants)
    assert sorted(one.name for group in groups for one in group) == sorted(one.name for one in variants)
    for group in groups:
        assert len({one.kind for one in group}) == 1
        named = [check for one in group for check in one.expected]
        assert len(named) == len(set(named))
        notebooks = [name for one in group if one.file for name in {edit.notebook for edit in one.file.edits}]
        assert len(notebooks) == len(set(notebooks))


def test_the_lab_takes_a_few_dozen_gradings_and_the_reference_stands_alone() -> None:
    groups = companies(SPEC, ALL)
    assert len(groups) < len(ALL) / 4
    assert [group for group in groups if any(one.kind == "reference" for one in group)] == alone(ALL[:1])


def row(variant: Variant, company: tuple[Variant, ...], failed: set[str]) -> Row:
    checks = [judged(SPEC, check.id, Outcome.FAILED if check.id in failed else Outcome.PASSED) for check in SPEC.checks]
    return Row(variant=variant, result=conclude(SPEC, "ada", "0" * 64, checks), company=company)


def test_a_row_is_as_named_if_its_own_checks_fail_and_nobody_else_s_than_the_company_s() -> None:
    first, second = next(group for group in companies(SPEC, ALL) if group[0].kind == "broken")[:2]
    both = {*first.expected, *second.expected}
    other = next(check.id for check in SPEC.checks if check.id not in both)
    assert row(first, (second,), both).ok
    assert row(first, (second,), both).failed == list(first.expected)
    assert not row(first, (second,), set(second.expected)).ok
    assert not row(first, (second,), both | {other}).ok
    assert not row(second, (first,), both | {other}).ok  # nobody knows whose it is: both are graded again
