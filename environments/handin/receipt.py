"""The receipt of a hand-in: what was handed in, when, and the digest that the instructor's record shows as well."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError

from environments.handin.folder import Contents
from environments.labspec import SLUG, LabSpec
from environments.params import LEARNER_ID
from environments.yamlfile import Strict

TIME_FORMAT: Final = "%Y%m%dT%H%M%SZ"
_SHA256: Final = r"^[0-9a-f]{64}$"
_SENSIBLE: Final = (
    datetime(2020, 1, 1, tzinfo=UTC),
    datetime(2200, 1, 1, tzinfo=UTC),
)  # so that no time zone overflows


class ReceiptError(Exception):
    """The bytes are not a receipt, or not of these files; the text is a sentence."""


class HandedInFile(Strict):
    """One file: relative POSIX path, size in bytes, SHA-256 in hex."""

    path: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=_SHA256)


class Receipt(Strict):
    """What a learner handed in. `sha256` is `Contents.sha256`, as in the grader's `results.json`; time is in UTC, whole seconds."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    learner: str = Field(pattern=f"^{LEARNER_ID.pattern}$")
    lab: str = Field(pattern=f"^{SLUG.pattern}$")
    lab_version: str = Field(max_length=40)
    submitted_at: AwareDatetime = Field(ge=_SENSIBLE[0], le=_SENSIBLE[1])
    sha256: str = Field(pattern=_SHA256)
    files: list[HandedInFile]

    @classmethod
    def of(cls, contents: Contents, learner: str, spec: LabSpec, now: datetime) -> Self:
        """The receipt for these contents."""
        files = [
            HandedInFile(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in contents.files.items()
        ]
        return cls(
            learner=learner,
            lab=spec.slug,
            lab_version=spec.version,
            submitted_at=now.astimezone(UTC).replace(microsecond=0),
            sha256=contents.sha256,
            files=files,
        )

    @classmethod
    def read(cls, data: bytes) -> Self:
        """The receipt in `data`, which nobody vouches for.

        Raises:
            ReceiptError: it is none.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"]) or "document"
            raise ReceiptError(f"Its receipt is damaged: {where}: {first['msg']}.") from None

    def check(self, contents: Contents) -> None:
        """Refuse other files than those that the receipt is for.

        Raises:
            ReceiptError: a file is missing, is another, or is not on it.
        """
        listed = {file.path: file.sha256 for file in self.files}
        present = {path: hashlib.sha256(data).hexdigest() for path, data in contents.files.items()}
        differ = sorted(path for path in listed.keys() | present.keys() if listed.get(path) != present.get(path))
        if differ:
            raise ReceiptError(f"Its receipt is not for these files: {', '.join(differ[:3])[:300]}.")
        if self.sha256 != contents.sha256 or len(listed) != len(self.files):
            raise ReceiptError("Its receipt's digest is not that of its files.")

    @property
    def name(self) -> str:
        """Name of the archive, without suffix; names of one learner's hand-ins sort by time."""
        return f"{self.learner}-{self.lab}-{self.stamp}"

    @property
    def stamp(self) -> str:
        """The time as a part of a file's name."""
        return self.submitted_at.astimezone(UTC).strftime(TIME_FORMAT)

    def as_json(self) -> bytes:
        """The file's bytes."""
        return (self.model_dump_json(by_alias=True, indent=1) + "\n").encode()
