"""What is done already: one file a graded submission, so that an interrupted batch carries on where it was."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Self

from environments.errors import BadInputError
from environments.storage import write_whole
from environments.yamlfile import Strict, read_text
from graders.grading import Graded
from graders.report import Extras
from graders.verdicts import Asked, SubmissionResult, SubmissionVerdict

AGAIN = (SubmissionVerdict.NOT_GRADED, SubmissionVerdict.PARTLY_GRADED)
MAX_RECORD = 64 << 20  # the cage lets 16 MiB out, and base64 makes a third more of it


class Kept(Strict):
    """A graded submission as JSON: how it is kept, and how a worker hands it over. Notebooks are in base64."""

    result: SubmissionResult
    notes: tuple[str, ...]
    notebooks: dict[str, str]
    asked: dict[str, tuple[Asked, ...]]
    seconds: dict[str, float]

    @classmethod
    def of(cls, graded: Graded) -> Self:
        """The JSON form of what was graded."""
        extras = graded.extras
        return cls(
            result=graded.result,
            notes=extras.notes,
            notebooks={name: base64.b64encode(data).decode() for name, data in extras.notebooks.items()},
            asked=dict(extras.asked),
            seconds=dict(extras.seconds),
        )

    def graded(self) -> Graded:
        """What was graded.

        Raises:
            ValueError: a notebook is not in base64.
        """
        extras = Extras(
            notes=self.notes,
            notebooks={name: base64.b64decode(text, validate=True) for name, text in self.notebooks.items()},
            asked=self.asked,
            seconds=self.seconds,
        )
        return Graded(result=self.result, extras=extras)


class Record(Kept):
    """A graded submission, and the fingerprint of what graded it."""

    fingerprint: str


class Records:
    """The records of one batch's folder. One is used again only if neither the submission nor the grader has changed."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint

    def find(self, learner: str, sha256: str) -> SubmissionResult | None:
        """The result of an earlier run, if it still holds; one that is not fully graded is tried again."""
        try:
            record = self._read(learner)
            record.graded()
        except (BadInputError, ValueError):  # a record that cannot be read is none
            return None
        result = record.result
        same = (record.fingerprint, result.learner, result.sha256) == (self._fingerprint, learner, sha256)
        return result if same and result.verdict not in AGAIN else None

    def keep(self, graded: Graded) -> None:
        """Write the record, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        record = Record(fingerprint=self._fingerprint, **dict(Kept.of(graded)))
        write_whole(self._path(graded.result.learner), record.model_dump_json().encode())

    def extras(self, learners: Collection[str]) -> Mapping[str, Extras]:
        """What is kept for the pages of these learners, read anew each time: all at once could be more than fits."""
        return _Kept(learners, lambda learner: self._read(learner).graded().extras)

    def _read(self, learner: str) -> Record:
        return Record.model_validate_json(read_text(self._path(learner), MAX_RECORD))

    def _path(self, learner: str) -> Path:
        return self._folder / f"{learner}.json"


class _Kept(Mapping[str, Extras]):
    def __init__(self, learners: Collection[str], read: Callable[[str], Extras]) -> None:
        self._learners = learners
        self._read = read

    def __getitem__(self, learner: str) -> Extras:
        if learner not in self._learners:
            raise KeyError(learner)
        return self._read(learner)

    def __iter__(self) -> Iterator[str]:
        return iter(self._learners)

    def __len__(self) -> int:
        return len(self._learners)
