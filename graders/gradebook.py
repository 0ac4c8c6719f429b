"""Bring verdicts into nbgrader's gradebook, beside what people have entered there, which always wins."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environments.errors import BadInputError, StorageError
from environments.labspec import LabSpec, TaskSpec
from environments.params import LEARNER_ID
from graders.intake import lab_notebooks
from graders.notebook import parse_release
from graders.storage import write_whole
from graders.untrusted import one_line
from graders.verdicts import CheckVerdict, Outcome, Results, SubmissionResult, SubmissionVerdict

# Imported where it is used: nbgrader takes two seconds, and every command would wait for it.
if TYPE_CHECKING:
    from nbgrader.api import Comment, Grade, Gradebook, Notebook, SubmittedAssignment, SubmittedNotebook

MAX_COMMENT = 4000
COURSE = "default_course"  # nbgrader's own commands look for this one unless told otherwise


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


def record(
    gradebook: Path,
    spec: LabSpec,
    results: Results,
    release: Path,
    staged: Mapping[str, Path] | None = None,
) -> None:
    """Write the batch's verdicts into the gradebook, which is made where it does not exist.

    Running it again changes nothing; grades of other learners and labs, and scores and comments that a person gave,
    stay. Two processes may record at once; one waits for the other.

    Args:
        gradebook: nbgrader's SQLite file.
        spec: the lab; it becomes the assignment, each task a grade cell of its notebook.
        results: the batch.
        release: folder of the lab's released notebooks.
        staged: folder of each learner's submission after intake; copied (without outputs) to `autograded/` beside the
            gradebook, where nbgrader's formgrader looks for it.

    Raises:
        BadInputError: the file is not a gradebook, or the release is not complete.
        StorageError: it cannot be written, or another program holds it.
    """
    from nbgrader.api import InvalidEntry
    from sqlalchemy.exc import DatabaseError, OperationalError

    with _alone(gradebook):
        try:
            _record(gradebook, spec, results, release)
        except (OperationalError, InvalidEntry) as error:
            problem = getattr(error, "orig", error)
            raise StorageError(f"Cannot write {gradebook}: {problem}.", hint="Close nbgrader and try again.") from None
        except DatabaseError as error:
            raise BadInputError(f"{gradebook} is not a gradebook: {error.orig}.", hint="Name another file.") from None
    for learner, folder in (staged or {}).items():
        for name in lab_notebooks(spec):
            target = gradebook.parent / "autograded" / learner / spec.slug / name
            write_whole(target, (folder / name).read_bytes())


@contextmanager
def _alone(gradebook: Path) -> Iterator[None]:
    try:
        gradebook.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            gradebook.with_name(f".{gradebook.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise StorageError(f"Cannot write {gradebook}: {error.strerror}.", hint="Name another file.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _record(gradebook: Path, spec: LabSpec, results: Results, release: Path) -> None:
    from nbgrader.api import Gradebook

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
    from alembic.script import ScriptDirectory
    from nbgrader.api import Base
    from nbgrader.dbutil import ALEMBIC_DIR
    from sqlalchemy import create_engine, inspect, text

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
    from nbgrader import api

    book.update_or_create_student(result.learner)
    with book.db.no_autoflush:  # nbgrader reads while its new submission is half linked, which SQLAlchemy warns of
        submission = book.update_or_create_submission(spec.slug, result.learner)
    for task in spec.tasks:
        notebook = book.find_notebook(Path(task.notebook).stem, spec.slug)
        submitted = _submitted(book, notebook, submission)
        comment = None
        if task.id in comment_cells:
            comment = _row(book, api.Comment, notebook.solution_cells, comment_cells[task.id], submitted)
        _apply(task_grade(task, result), _row(book, api.Grade, notebook.grade_cells, task.id, submitted), comment)
    book.db.commit()


def _submitted(book: Gradebook, notebook: Notebook, submission: SubmittedAssignment) -> SubmittedNotebook:
    """The learner's copy of a notebook; made here where the lab has got it since the learner's first submission."""
    from nbgrader import api

    found = next((one for one in submission.notebooks if one.notebook_id == notebook.id), None)
    return found or _added(book, api.SubmittedNotebook(notebook=notebook, assignment=submission))


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
