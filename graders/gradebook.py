"""Bring verdicts into nbgrader's gradebook, beside what people have entered there, which always wins."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from environments.errors import StorageError
from environments.labspec import LabSpec
from environments.storage import write_whole
from graders.intake import lab_notebooks
from graders.verdicts import Results


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
    from graders.gradebook_rows import write_rows  # noqa: PLC0415  see there

    with _alone(gradebook):
        write_rows(gradebook, spec, results, release)
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
