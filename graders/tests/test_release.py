"""Release: what learners get holds no solution, is locked, is always the same bytes, and is checked against the lab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from environments.errors import BadInputError
from environments.handin.notebook import is_locked, parse_release
from environments.labspec import LabSpec, load_lab
from graders.authoring import released as make
from graders.release import release, release_command

SLUG = "zero-trust"
COURSE = Path(__file__).parents[2]
ZT1 = "zt-1-identity-federation.ipynb"


def edit_source(course: Path, change: Any) -> None:
    path = course / "solutions" / SLUG / "notebooks" / ZT1
    notebook = json.loads(path.read_text())
    change(notebook["cells"])
    path.write_text(json.dumps(notebook))


def test_solutions_and_outputs_are_gone_and_stubs_in_their_place(released: Path) -> None:
    for path in released.iterdir():
        text = path.read_text()
        for word in ("secret_answer", "secret reason", "SOLUTION"):
            assert word not in text
        answer = next(cell for cell in parse_release(path.read_bytes()) if cell.grade_id and "answer" in cell.grade_id)
        assert answer.source == "lab = 1\n# Your answer here\nraise NotImplementedError\nprint(lab)"


def test_lab_s_cells_are_locked_and_answers_are_not(released: Path) -> None:
    cells = {cell.grade_id: cell for cell in parse_release((released / ZT1).read_bytes()) if cell.grade_id}
    assert {name for name, cell in cells.items() if is_locked(cell)} == {"zt-1-lesson", "zt-1-setup", "ZT-1"}
    assert cells["ZT-1"].metadata["editable"] is False
    assert "editable" not in cells["zt-1-answer"].metadata


def test_same_source_gives_the_same_bytes_and_is_in_step(small_course: Path, released: Path) -> None:
    before = {path.name: path.read_bytes() for path in released.iterdir()}
    for path in released.iterdir():
        path.unlink()
    assert release(small_course, SLUG).written == tuple(sorted(before))
    assert {path.name: path.read_bytes() for path in released.iterdir()} == before
    assert release(small_course, SLUG, check=True).in_step


def test_check_says_what_is_out_of_step_and_changes_nothing(small_course: Path, released: Path) -> None:
    (released / ZT1).write_text("edited by hand")
    (released / "old.ipynb").write_text("{}")
    done = release(small_course, SLUG, check=True)
    assert (done.written, done.removed) == ((ZT1,), ("old.ipynb",))
    assert (released / ZT1).read_text() == "edited by hand"
    release(small_course, SLUG)
    assert release(small_course, SLUG, check=True).in_step
    assert not (released / "old.ipynb").exists()


def test_command_prints_json_and_fails_a_check_out_of_step(small_course: Path, released: Path) -> None:
    app = typer.Typer()
    app.command()(release_command)
    runner = CliRunner()
    done = runner.invoke(app, [SLUG, "--course", str(small_course), "--json"])
    assert json.loads(done.stdout) | {"unchanged": []} == {
        "lab": SLUG, "in_step": True, "written": [], "removed": [], "unchanged": [],
    }  # fmt: skip
    (released / ZT1).unlink()
    done = runner.invoke(app, [SLUG, "--course", str(small_course), "--check"])
    assert isinstance(done.exception, BadInputError)
    assert ZT1 in done.exception.message
    assert "differs" in done.stdout


def _wrong_points(cells: list[Any]) -> None:
    cells[4]["metadata"]["nbgrader"]["points"] = 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_wrong_points, "needs a locked grade cell with the id ZT-1 and 15 points"),
        (lambda cells: cells.pop(4), "needs a locked grade cell"),
        (lambda cells: cells[4].update(source="1"), 'needs lab.check("ZT-1")'),
        (lambda cells: cells[2].update(source="### BEGIN SOLUTION\n1"), "no end solution"),
        (lambda cells: cells[1].update(source="### BEGIN SOLUTION\n1\n### END SOLUTION"), "non-solution cell"),
        (lambda cells: cells[1]["metadata"]["nbgrader"].update(grade_id="ZT-1"), "Duplicate grade id"),
        (lambda cells: cells.append(3), "Cannot read"),
    ],
)
def test_source_that_cannot_be_released_is_said_plainly(small_course: Path, change: Any, problem: str) -> None:
    edit_source(small_course, change)
    with pytest.raises(BadInputError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        release(small_course, SLUG)


def test_missing_source_is_said_plainly(small_course: Path) -> None:
    (small_course / "solutions" / SLUG / "notebooks" / ZT1).unlink()
    with pytest.raises(BadInputError, match="Cannot read"):
        release(small_course, SLUG)


LINES = st.lists(st.sampled_from(["x = 1", "", "    y = 2", "# note"]), max_size=4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=LINES, regions=st.lists(LINES, min_size=1, max_size=3), after=LINES)
def test_no_line_between_the_marks_is_ever_released(
    tmp_path: Path, zt_spec: LabSpec, before: list[str], regions: list[list[str]], after: list[str]
) -> None:
    # Each hidden line carries a token of its own, so that finding it means that it leaked.
    hidden = [[f"{line}  # hidden-{i}-{j}" for j, line in enumerate(region)] for i, region in enumerate(regions)]
    marked = [line for region in hidden for line in ["### BEGIN SOLUTION", *region, "### END SOLUTION"]]
    marks = {"grade_id": "a", "solution": True, "grade": False, "locked": False, "schema_version": 3, "task": False}
    cell = nbformat.v4.new_code_cell("\n".join([*before, *marked, *after]), metadata={"nbgrader": marks})
    cell.outputs = [nbformat.v4.new_output("stream", text="hidden-output")]
    path = tmp_path / "own.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    text = make(path, zt_spec).decode()
    assert "hidden" not in text
    assert "SOLUTION" not in text


@pytest.mark.skipif(not (COURSE / "solutions" / SLUG / "notebooks").is_dir(), reason="the solutions are not here")
def test_the_course_s_own_release_is_in_step_and_holds_no_solution() -> None:
    assert release(COURSE, SLUG, check=True).in_step
    sources, target = COURSE / "solutions" / SLUG / "notebooks", COURSE / "labs" / SLUG / "notebooks"
    for name in {task.notebook for task in load_lab(COURSE, SLUG).tasks}:
        public = (target / name).read_text()
        assert "SOLUTION" not in public
        for cell in nbformat.read(sources / name, as_version=4).cells:
            for region in cell.source.split("### BEGIN SOLUTION")[1:]:
                solution = region.split("### END SOLUTION")[0].strip()
                assert json.dumps(solution)[1:-1] not in json.dumps(public)
