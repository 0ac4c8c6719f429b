"""What is done already: one file a graded submission, so that an interrupted batch carries on where it was."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from environments.errors import BadInputError
from environments.yamlfile import Strict, read_text
from graders.grading import Graded
from graders.report import Extras
from graders.storage import write_whole
from graders.verdicts import SubmissionResult, SubmissionVerdict

AGAIN = (SubmissionVerdict.NOT_GRADED, SubmissionVerdict.PARTLY_GRADED)
MAX_RECORD = 64 << 20  # the cage lets 16 MiB out, and base64 makes a third more of it


class Record(Strict):
    """One graded submission, and the fingerprint of what graded it."""

    fingerprint: str
    result: SubmissionResult
    notes: tuple[str, ...]
    notebooks: dict[str, str]


class Records:
    """The records of one batch's folder. One is used again only if neither the submission nor the grader has changed."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint

    def find(self, learner: str, sha256: str) -> Graded | None:
        """The result of an earlier run, if it still holds; one that is not fully graded is tried again."""
        try:
            record = Record.model_validate_json(read_text(self._path(learner), MAX_RECORD))
            notebooks = {name: base64.b64decode(text) for name, text in record.notebooks.items()}
        except (BadInputError, ValueError):  # a record that cannot be read is none
            return None
        result = record.result
        same = (record.fingerprint, result.learner, result.sha256) == (self._fingerprint, learner, sha256)
        if not same or result.verdict in AGAIN:
            return None
        return Graded(result=result, extras=Extras(notes=record.notes, notebooks=notebooks))

    def keep(self, graded: Graded) -> None:
        """Write the record, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        record = {
            "fingerprint": self._fingerprint,
            "result": graded.result.model_dump(mode="json"),
            "notes": list(graded.extras.notes),
            "notebooks": {name: base64.b64encode(data).decode() for name, data in graded.extras.notebooks.items()},
        }
        write_whole(self._path(graded.result.learner), json.dumps(record).encode())

    def _path(self, learner: str) -> Path:
        return self._folder / f"{learner}.json"
