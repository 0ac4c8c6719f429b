"""Variants: every one of the lab's fits the reference, and what does not fit is named by file and line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from environments.errors import BadInputError
from graders.tests.batches import COURSE, NOTEBOOKS, SLUG, SPEC
from graders.variants import Variant, load_variants, write_submission

HEAD = 'schema: 1\ntitle: "A fault"\nwhy: "A reason"\n'


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course with the reference and no variants."""
    shutil.copytree(COURSE / "solutions" / SLUG / "notebooks", tmp_path / "solutions" / SLUG / "notebooks")
    return tmp_path


def add(course: Path, text: str, name: str = "fault", below: str = "broken") -> Path:
    path = course / "solutions" / SLUG / below / name / "variant.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(HEAD + text)
    return path


def problems(course: Path) -> list[str]:
    with pytest.raises(BadInputError) as caught:
        load_variants(course, SPEC)
    return caught.value.message.splitlines()


def write(course: Path, variant: Variant) -> dict[str, str]:
    """The sources of the cells that would be handed in, by nbgrader's id."""
    folder = course / "handed-in" / variant.name
    write_submission(course, SPEC, [variant], folder)
    cells = [cell for name in NOTEBOOKS for cell in json.loads((folder / name).read_text())["cells"]]
    return {
        cell["metadata"].get("nbgrader", {}).get("grade_id", ""): "".join(cell["source"])
        for cell in cells
    }  # fmt: skip


def test_every_variant_of_the_lab_fits_the_reference(tmp_path: Path) -> None:
    variants = load_variants(COURSE, SPEC)
    for variant in variants:
        write_submission(COURSE, SPEC, [variant], tmp_path / variant.name)
    assert {variant.kind for variant in variants} == {"reference", "alternative", "broken", "hostile"}
    assert {check for one in variants if one.kind == "broken" for check in one.expected} == {
        check.id for check in SPEC.checks
    }


def test_an_edit_changes_its_cell_and_nothing_else(course: Path) -> None:
    add(
        course,
        "expected: [ZT-1.6]\nedits:\n  - {notebook: zt-1-identity-federation.ipynb, cell: zt-1-roles, find: 10m, replace: 90h}\n",
    )
    reference, fault = load_variants(course, SPEC)
    before, after = write(course, reference), write(course, fault)
    assert {name for name in before if before[name] != after[name]} == {"zt-1-roles"}
    assert after["zt-1-roles"] == before["zt-1-roles"].replace("10m", "90h")


def test_a_cell_can_be_replaced_by_a_file_beside(course: Path) -> None:
    path = add(course, "expected: [ZT-3.1]\ncells: {zt-3-apply: nothing.py}\n")
    (path.parent / "nothing.py").write_text("pass\n")
    _, fault = load_variants(course, SPEC)
    assert write(course, fault)["zt-3-apply"] == "pass\n"


def test_an_edit_can_change_a_file_that_replaces_a_cell(course: Path) -> None:
    edit = "{notebook: zt-3-admission-policy.ipynb, cell: zt-3-apply, find: pass, replace: fail}"
    path = add(course, f"expected: [ZT-3.1]\ncells: {{zt-3-apply: nothing.py}}\nedits: [{edit}]\n")
    (path.parent / "nothing.py").write_text("pass\n")
    _, fault = load_variants(course, SPEC)
    assert write(course, fault)["zt-3-apply"] == "fail\n"


def test_all_edits_that_do_not_fit_are_named_with_file_and_line(course: Path) -> None:
    edits = [
        "notebook: zt-1-identity-federation.ipynb, cell: zt-1-roles, find: nowhere, replace: x",
        "notebook: zt-1-identity-federation.ipynb, cell: zt-1-issuers, find: cloud, replace: x",
        "notebook: zt-1-identity-federation.ipynb, cell: zt-9-none, find: x, replace: x",
        "notebook: zt-9.ipynb, cell: zt-2-policy, find: x, replace: x",
    ]
    listed = "".join(f"  - {{{edit}}}\n" for edit in edits)
    path = add(course, f"expected: [ZT-1.1]\nedits:\n{listed}cells: {{zt-8-none: nothing.py}}\n")
    _, fault = load_variants(course, SPEC)
    with pytest.raises(BadInputError) as caught:
        write_submission(course, SPEC, [fault], course / "handed-in")
    said = caught.value.message.splitlines()
    assert [line.split(": ")[0] for line in said] == [f"{path}:{number}" for number in (10, 6, 7, 8, 9)]
    assert "no such cell" in said[0]
    assert "occurs 0 times" in said[1]
    assert not (course / "handed-in").exists()


def test_all_problems_of_all_variants_are_listed_at_once(course: Path) -> None:
    first = add(course, "expected:\n  - ZT-1.1\n  - ZT-9.9\n  - ZT-8.8\n", name="first")
    second = add(course, "expected: [ZT-1.1]\nexpect: []\nedits: 3\n", name="second")
    third = add(course, "", name="third")
    fourth = add(course, "expected: [ZT-1.1]\n", name="fourth", below="alternatives")
    fifth = add(course, "expected: [ZT-1.1]\n", name="first", below="hostile")
    said = "\n".join(problems(course))
    for expected in (
        f"{first}:6: zero-trust has no check ZT-9.9.",
        f"{first}:7: zero-trust has no check ZT-8.8.",
        f"{second}:5: expect: Extra inputs are not permitted",
        f"{second}:6: edits: ",
        f"{third}:1: an alternative fails no check, and a broken variant at least one.",
        f"{fourth}:4: an alternative fails no check",
        f"{fifth}:1: the folder's name 'first' is taken",
    ):
        assert expected in said


@pytest.mark.parametrize("text", ["expected: [ZT-1.1\n", "expected: !!python/object:os.system []\n"])
def test_a_file_that_is_no_plain_yaml_is_refused_by_its_line(course: Path, text: str) -> None:
    path = add(course, text)
    assert problems(course)[0].startswith(f"{path}:")
