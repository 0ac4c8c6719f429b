"""The gradebook: what nbgrader shows of verdicts, and that people's grades stay."""

from __future__ import annotations

import csv
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from environments.errors import BadInputError, StorageError
from environments.labspec import LabSpec
from graders.gradebook import record
from graders.intake import take_in
from graders.verdicts import Outcome, Results, SubmissionResult, all_alike, conclude, judged, write_results

SLUG = "zero-trust"
Record = Callable[..., None]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "gradebook.db"


@pytest.fixture
def write(book: Path, zt_spec: LabSpec, released: Path) -> Record:
    def recorded(*submissions: SubmissionResult) -> None:
        record(book, zt_spec, Results(lab=SLUG, provider="local", submissions=list(submissions)), released)

    return recorded


@contextmanager
def opened(book: Path) -> Iterator[Gradebook]:
    with Gradebook(f"sqlite:///{book}") as gradebook:
        yield gradebook


def graded(spec: LabSpec, learner: str, **outcomes: Outcome) -> SubmissionResult:
    """Everything passed but what `outcomes` says of a check, its id written as `ZT_1_2`."""
    given = {name.replace("_", "-", 1).replace("_", "."): outcome for name, outcome in outcomes.items()}
    checks = [judged(spec, check.id, given.get(check.id, Outcome.PASSED), "reason") for check in spec.checks]
    return conclude(spec, learner, "0" * 64, checks)


def rows(book: Path, learner: str) -> dict[str, tuple[float | None, float | None, bool, str | None]]:
    """Of each task: automatic score, person's score, whether a person must look, the comment shown."""
    with opened(book) as gradebook:
        submission = gradebook.find_submission(SLUG, learner)
        return {
            grade.name: (
                grade.auto_score,
                grade.manual_score,
                grade.needs_manual_grade,
                next(comment.comment for comment in notebook.comments),
            )
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


def test_each_task_is_one_grade(write: Record, book: Path, zt_spec: LabSpec) -> None:
    write(graded(zt_spec, "ann"), graded(zt_spec, "bob", ZT_1_2=Outcome.FAILED))
    assert rows(book, "ann") == {task.id: (float(task.points), None, False, None) for task in zt_spec.tasks}
    score, _, held, comment = rows(book, "bob")["ZT-1"]
    assert (score, held) == (12.0, False)
    assert comment == "Not passed: ZT-1.2 Tokens of other issuers are refused."
    with opened(book) as gradebook:
        assert gradebook.find_assignment(SLUG).max_score == zt_spec.points
        assert gradebook.find_submission(SLUG, "bob").score == zt_spec.points - 3


def test_not_graded_is_held_without_a_zero(write: Record, book: Path, zt_spec: LabSpec) -> None:
    write(
        graded(zt_spec, "ann", ZT_1_1=Outcome.NOT_GRADED),
        all_alike(zt_spec, "bob", None, Outcome.NOT_GRADED, "The notebook is broken."),
    )
    score, _, held, comment = rows(book, "ann")["ZT-1"]
    assert (score, held, comment) == (12.0, True, "Not graded: ZT-1.1 (reason).")
    assert rows(book, "ann")["ZT-2"][2] is False
    assert all(row[0] is None and row[2] for row in rows(book, "bob").values())
    assert "The notebook is broken." in (rows(book, "bob")["ZT-3"][3] or "")


def test_tampered_scores_zero_and_is_held(write: Record, book: Path, zt_spec: LabSpec) -> None:
    write(all_alike(zt_spec, "eve", "0" * 64, Outcome.TAMPERED, "The audit device of Vault was removed."))
    for score, _, held, comment in rows(book, "eve").values():
        assert (score, held) == (0.0, True)
        assert comment == "Tampered, held for a person: The audit device of Vault was removed."


def test_again_changes_nothing_and_leaves_others_alone(write: Record, book: Path, zt_spec: LabSpec) -> None:
    write(graded(zt_spec, "ann"))
    before = rows(book, "ann")
    write(graded(zt_spec, "bob"))
    write(graded(zt_spec, "bob"))
    assert rows(book, "ann") == before == rows(book, "bob")
    with opened(book) as gradebook:
        assert sorted(student.id for student in gradebook.students) == ["ann", "bob"]


def test_what_a_person_entered_stays(write: Record, book: Path, zt_spec: LabSpec) -> None:
    write(graded(zt_spec, "ann", ZT_1_1=Outcome.NOT_GRADED))
    with opened(book) as gradebook:
        grade = gradebook.find_grade("ZT-1", "zt-1-identity-federation", SLUG, "ann")
        grade.manual_score, grade.needs_manual_grade = 14.0, False
        comment = gradebook.find_comment("zt-1-why", "zt-1-identity-federation", SLUG, "ann")
        comment.manual_comment = "Seen it run."
        gradebook.db.commit()
    write(graded(zt_spec, "ann", ZT_1_1=Outcome.NOT_GRADED))
    assert rows(book, "ann")["ZT-1"] == (12.0, 14.0, False, "Seen it run.")
    write(graded(zt_spec, "ann"))
    assert rows(book, "ann")["ZT-1"] == (15.0, 14.0, True, "Seen it run.")


def test_a_task_that_came_later_gets_its_grade(write: Record, book: Path, zt_spec: LabSpec, released: Path) -> None:
    first = zt_spec.model_copy(update={"tasks": zt_spec.tasks[:1]})
    record(book, first, Results(lab=SLUG, provider="local", submissions=[graded(first, "ann")]), released)
    write(graded(zt_spec, "ann"))
    assert set(rows(book, "ann")) == {task.id for task in zt_spec.tasks}


def test_an_odd_learner_s_name_never_enters(write: Record, book: Path, zt_spec: LabSpec) -> None:
    write(all_alike(zt_spec, "'ann'", None, Outcome.NOT_GRADED, "odd"), graded(zt_spec, "ann"))
    with opened(book) as gradebook:
        assert [student.id for student in gradebook.students] == ["ann"]


def test_submissions_are_laid_out_for_formgrader(
    book: Path, zt_spec: LabSpec, released: Path, submit: Callable[..., Path], tmp_path: Path
) -> None:
    submit("ann")
    (one,) = take_in(tmp_path / "submitted", zt_spec, released, tmp_path / "staging").staged
    results = Results(lab=SLUG, provider="local", submissions=[graded(zt_spec, "ann")])
    record(book, zt_spec, results, released, {"ann": one.path})
    for task in zt_spec.tasks:
        shown = tmp_path / "autograded/ann/zero-trust" / task.notebook
        assert shown.read_bytes() == (one.path / task.notebook).read_bytes()


@pytest.mark.slow
def test_nbgrader_exports_it(write: Record, book: Path, zt_spec: LabSpec, tmp_path: Path) -> None:
    write(graded(zt_spec, "ann", ZT_3_1=Outcome.FAILED), graded(zt_spec, "bob"))
    command = [sys.executable, "-m", "nbgrader", "export", "--to", "grades.csv", f"--db=sqlite:///{book}"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60, capture_output=True)
    with (tmp_path / "grades.csv").open() as stream:
        exported = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(stream)}
    assert exported == {"ann": (zt_spec.points - 3, zt_spec.points), "bob": (zt_spec.points, zt_spec.points)}


RECORD_ONE = """
import sys
from pathlib import Path
from graders.gradebook import record
from graders.verdicts import read_results
from environments.labspec import load_lab
book, course, results = map(Path, sys.argv[1:])
record(book, load_lab(course, "zero-trust"), read_results(results), course / "labs/zero-trust/notebooks")
"""


@pytest.mark.slow
def test_two_processes_at_once_lose_nothing(book: Path, zt_spec: LabSpec, small_course: Path, tmp_path: Path) -> None:
    def run(name: str) -> None:
        batch = [graded(zt_spec, f"{name}{number}") for number in range(5)]
        write_results(tmp_path / f"{name}.json", Results(lab=SLUG, provider="local", submissions=batch))
        command = [sys.executable, "-c", RECORD_ONE, str(book), str(small_course), str(tmp_path / f"{name}.json")]
        subprocess.run(command, check=True, timeout=120, cwd=Path(__file__).parents[2])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, ["ann", "bob"]))
    with opened(book) as gradebook:
        assert {s.score for s in gradebook.assignment_submissions(SLUG)} == {zt_spec.points}
        assert len(gradebook.assignment_submissions(SLUG)) == 10


def test_file_that_is_no_gradebook_is_said_plainly(write: Record, book: Path, zt_spec: LabSpec) -> None:
    book.write_text("not a database, but long enough to look like one " * 50)
    with pytest.raises(BadInputError, match="is not a gradebook"):
        write(graded(zt_spec, "ann"))


@pytest.mark.slow
def test_gradebook_held_by_another_program_is_said_plainly(write: Record, book: Path, zt_spec: LabSpec) -> None:
    write(graded(zt_spec, "ann"))
    holder = sqlite3.connect(book)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StorageError, match="Cannot write"):
            write(graded(zt_spec, "ann", ZT_1_1=Outcome.FAILED))
    finally:
        holder.rollback()
        holder.close()


@pytest.mark.slow
def test_nbgrader_itself_never_judges(
    write: Record, book: Path, zt_spec: LabSpec, submit: Callable[..., Path], tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    task = zt_spec.tasks[0]
    submit("ann", {task.notebook: nbformat.writes(nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell(f"open({str(marker)!r}, 'w').close()"),
    ]))})  # fmt: skip
    write(graded(zt_spec, "ann", ZT_1_1=Outcome.FAILED))
    before = rows(book, "ann")
    shutil.copy(Path(__file__).parents[2] / "nbgrader_config.py", tmp_path)
    command = [sys.executable, "-m", "nbgrader", "autograde", SLUG, f"--db=sqlite:///{book}"]
    done = subprocess.run(command, cwd=tmp_path, check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode != 0
    assert "nbgrader does not judge in this course" in done.stderr
    assert not marker.exists()
    assert rows(book, "ann") == before
