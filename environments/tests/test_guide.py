"""Hints and references are whole for every check of every lab, and give no solution away."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from environments.errors import BadInputError
from environments.lab.api import Lab
from environments.lab.guide import STEPS, Guide, Hints, load_guides
from environments.labspec import CheckSpec, LabSpec, load_lab
from environments.tests.securing import nowhere

COURSE = Path(__file__).parents[2]
LABS = [load_lab(COURSE, path.parent.name) for path in sorted(COURSE.glob("labs/*/lab.yaml"))]
CHECKS = [(spec, check) for spec in LABS for check in spec.checks]
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)
WORDS_GIVEN_AWAY = 8  # so many words in a row are no coincidence

each_check = pytest.mark.parametrize(("spec", "check"), CHECKS, ids=lambda one: getattr(one, "id", None) or one.slug)


def guide_of(spec: LabSpec, check: CheckSpec) -> Guide:
    return load_guides(COURSE, spec.slug, check.id.split(".")[0])[check.id]


@cache
def solutions(slug: str) -> str:
    """All words of the reference, in their order."""
    texts = []
    for path in sorted((COURSE / "solutions" / slug / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        texts += [text for cell in cells for text in SOLUTION.findall("".join(cell["source"]))]
    return " ".join(re.findall(r"\w+", " ".join(texts)))


@each_check
def test_each_check_has_three_hints_that_grow_more_concrete(spec: LabSpec, check: CheckSpec) -> None:
    hints = guide_of(spec, check).hints
    assert len(hints) == STEPS
    assert len(hints[0]) < len(hints[1]) < len(hints[2])
    named = [set(re.findall(r"`[^`]+`", hint)) for hint in hints]
    assert not named[0], "the first hint is a question or a direction"
    assert named[2] - named[1], "the last hint names what to look at"


@each_check
def test_no_hint_is_the_solution(spec: LabSpec, check: CheckSpec) -> None:
    for hint in guide_of(spec, check).hints:
        words = re.findall(r"\w+", hint)
        runs = (" ".join(words[at : at + WORDS_GIVEN_AWAY]) for at in range(len(words) - WORDS_GIVEN_AWAY + 1))
        assert [run for run in runs if run in solutions(spec.slug)] == []


@each_check
def test_each_check_says_its_control_technique_and_where_to_read(spec: LabSpec, check: CheckSpec) -> None:
    guide = guide_of(spec, check)
    assert re.search(r"NIST|CIS|GDPR|HIPAA|Kubernetes|OWASP|RFC", guide.control)
    assert re.search(r"ATT&CK|ATLAS", guide.technique)
    sources = " ".join(guide.reading)
    assert re.search(r"NIST AI RMF|NIST SP|CNCF|CKS", sources)


@pytest.mark.parametrize("spec", LABS, ids=lambda spec: spec.slug)
def test_no_guide_is_about_a_check_that_does_not_exist(spec: LabSpec) -> None:
    for task in spec.tasks:
        assert set(load_guides(COURSE, spec.slug, task.id)) == {check.id for check in task.checks}


def test_hints_come_one_after_another_and_begin_anew() -> None:
    guide = Guide(control="c", technique="t", reading=["r"], hints=["one", "two", "three"])
    hints = Hints()
    given = [hints.next("ZT-1.1", guide) for _ in range(4)]
    assert [re.findall(r"\b(one|two|three)\b", hint)[0] for hint in given] == ["one", "two", "three", "one"]
    assert repr(given[0]) == str(given[0])
    assert "one" in hints.next("ZT-1.2", guide)


def test_a_notebook_asks_for_the_hints_of_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOD209_COURSE", str(COURSE))
    lab = Lab("zero-trust", nowhere())
    try:
        assert "hint 1 of 3" in lab.hint("zt-1.2")
        with pytest.raises(BadInputError, match="one check"):
            lab.hint("ZT-1")
        with pytest.raises(BadInputError, match="no check"):
            lab.hint("ZT-1.99")
    finally:
        lab.close()
