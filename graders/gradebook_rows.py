"""Rows of nbgrader's gradebook. Apart from `graders.gradebook`, because nbgrader takes two seconds to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from nbgrader.api import (
    Base,
    Comment,
    Grade,
    Gradebook,
    InvalidEntry,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.dbutil import ALEMBIC_DIR
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DatabaseError, OperationalError

from environments.errors import BadInputError, StorageError
from environments.handin.notebook import parse_release
from environments.handin.untrusted import one_line
from environments.labspec import LabSpec, TaskSpec
from environments.params import LEARNER_ID
from graders.intake import lab_notebooks
from graders.verdicts import CheckVerdict, Outcome, Results, SubmissionResult, SubmissionVerdict

COURSE = "default_course"  # nbgrader's own commands look for this one unless told otherwise
MAX_COMMENT = 4000


@dataclass(frozen=True, kw_only=True)
class TaskGrade:
    """What the gradebook holds of one task: points (null if none was graded), whether a person must look, and why."""

    score: float | None
    held: bool
    comment: str | None


def task_grade(task: TaskSpec, result: SubmissionResult) -> TaskGrade:
    """The grade of one task of a submission: the sum of what its checks earned, held unless every one was graded."""
    checks = result.of_task(task.id)
    graded = [check.earned for check in checks if check.earned is not None]
    tampered = result.verdict is SubmissionVerdict.TAMPERED
    return TaskGrade(
        score=float(sum(graded)) if graded else None,
        held=tampered or len(graded) < len(checks),
        comment=_comment(task, checks, (result.error or "") if tampered else None),
    )


def write_rows(gradebook: Path, spec: LabSpec, results: Results, release: Path) -> None:
    """Write the batch's grades and comments; see `graders.gradebook.record`, which alone calls this.

    Raises:
        BadInputError: the file is not a gradebook, or the release is not complete.
        StorageError: it cannot be written, or another program holds it.
    """
    try:
        _record(gradebook, spec, results, release)
    except (OperationalError, InvalidEntry) as error:
        problem = getattr(error, "orig", error)
        raise StorageError(f"Cannot write {gradebook}: {problem}.", hint="Close nbgrader and try again.") from None
    except DatabaseError as error:
        raise BadInputError(f"{gradebook} is not a gradebook: {error.orig}.", hint="Name another file.") from None


def _record(gradebook: Path, spec: LabSpec, results: Results, release: Path) -> None:
    comment_cells = _comment_cells(spec, release)
    url = f"sqlite:///{gradebook.absolute()}"
    _ensure_tables(url)
    with Gradebook(url, COURSE) as book:
        _ensure_assignment(book, spec, comment_cells)
        for result in results.submissions:
            if LEARNER_ID.fullmatch(result.learner):
                _record_one(book, spec, result, comment_cells)


def _ensure_tables(url: str) -> None:
    """Make an empty gradebook as nbgrader would; it runs `alembic` for this, which need not be on the PATH."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            if inspect(connection).get_table_names():
                return
            Base.metadata.create_all(connection)
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
            head = {"head": ScriptDirectory(ALEMBIC_DIR).get_current_head()}
            connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), head)
    finally:
        engine.dispose()


def _comment_cells(spec: LabSpec, release: Path) -> dict[str, str]:
    """For each task, the answer cell under which formgrader shows its comment: the last one before its grade cell."""
    found: dict[str, str] = {}
    for name in lab_notebooks(spec):
        try:
            cells = parse_release((release / name).read_bytes())
        except OSError as error:
            raise BadInputError(
                f"Cannot read {release / name}: {error.strerror}.", hint="Release the lab first."
            ) from None
        answer = None
        for cell in cells:
            if cell.metadata.get("nbgrader", {}).get("solution"):
                answer = cell.grade_id
            if cell.grade_id and answer:
                found[cell.grade_id] = answer
    return found


def _ensure_assignment(book: Gradebook, spec: LabSpec, comment_cells: Mapping[str, str]) -> None:
    book.update_or_create_assignment(spec.slug)
    for name in lab_notebooks(spec):
        book.update_or_create_notebook(Path(name).stem, spec.slug)
    for task in spec.tasks:
        place = (Path(task.notebook).stem, spec.slug)
        book.update_or_create_grade_cell(task.id, *place, max_score=float(task.points), cell_type="code")
        if task.id in comment_cells:
            book.update_or_create_solution_cell(comment_cells[task.id], *place)


def _record_one(book: Gradebook, spec: LabSpec, result: SubmissionResult, comment_cells: Mapping[str, str]) -> None:
    book.update_or_create_student(result.learner)
    with book.db.no_autoflush:  # nbgrader reads while its new submission is half linked, which SQLAlchemy warns of
        submission = book.update_or_create_submission(spec.slug, result.learner)
    for task in spec.tasks:
        notebook = book.find_notebook(Path(task.notebook).stem, spec.slug)
        submitted = _submitted(book, notebook, submission)
        comment = None
        if task.id in comment_cells:
            comment = _row(book, Comment, notebook.solution_cells, comment_cells[task.id], submitted)
        _apply(task_grade(task, result), _row(book, Grade, notebook.grade_cells, task.id, submitted), comment)
    book.db.commit()


def _submitted(book: Gradebook, notebook: Notebook, submission: SubmittedAssignment) -> SubmittedNotebook:
    """The learner's copy of a notebook; made here where the lab has got it since the learner's first submission."""
    found = next((one for one in submission.notebooks if one.notebook_id == notebook.id), None)
    return found or _added(book, SubmittedNotebook(notebook=notebook, assignment=submission))


def _row(book: Gradebook, kind: type[Any], cells: list[Any], name: str, submitted: SubmittedNotebook) -> Any:
    """The learner's row of a cell, its Grade or its Comment; made here where the cell is new in the lab."""
    cell = next(cell for cell in cells if cell.name == name)
    found = book.db.query(kind).filter_by(cell_id=cell.id, notebook_id=submitted.id).one_or_none()
    return found or _added(book, kind(cell_id=cell.id, notebook_id=submitted.id))


def _added(book: Gradebook, row: Any) -> Any:
    book.db.add(row)
    book.db.flush()
    return row


def _apply(new: TaskGrade, grade: Grade, comment: Comment | None) -> None:
    changed = (grade.auto_score, comment and comment.auto_comment) != (new.score, comment and new.comment)
    if grade.manual_score is None or changed:
        # Where a person gave a score, a verdict that has changed is a reason to look again; the same one is not.
        grade.needs_manual_grade = new.held or grade.manual_score is not None
    grade.auto_score = new.score
    if comment is not None:
        comment.auto_comment = new.comment


def _comment(task: TaskSpec, checks: list[CheckVerdict], error: str | None) -> str | None:
    titles = {check.id: check.title for check in task.checks}
    failed = [f"{check.id} {titles[check.id]}" for check in checks if check.outcome is Outcome.FAILED]
    skipped = [f"{check.id} ({check.message})" for check in checks if check.outcome is Outcome.NOT_GRADED]
    parts = [] if error is None else [f"Tampered, held for a person: {error}"]
    parts += [f"Not passed: {'; '.join(failed)}."] if failed else []
    parts += [f"Not graded: {'; '.join(skipped)}."] if skipped else []
    return one_line(" ".join(parts), MAX_COMMENT) or None
