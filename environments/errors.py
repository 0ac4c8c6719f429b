"""Every error that a user of `mod209` can cause or meet, each kind with its own exit code."""

from __future__ import annotations

from typing import ClassVar


class CourseError(Exception):
    """Root of all expected errors: what went wrong in one sentence, and what to do next.

    The command line prints `message` and `hint` and exits with `exit_code`; it never shows a traceback for one of these.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInputError(CourseError):
    """A file, folder or value that the user gave cannot be used."""

    exit_code = 3


class ToolError(CourseError):
    """A tool (etcd, kube-apiserver, Vault, OPA, Go …) is missing, of the wrong version, or could not be fetched or built."""

    exit_code = 4


class FootprintError(CourseError):
    """A footprint did not start, is not running, or one of its servers died."""

    exit_code = 5


class CageError(CourseError):
    """The cage is missing, or does not hold. Nothing is graded without it."""

    exit_code = 6


class NotAllGradedError(CourseError):
    """The batch is done and written, but at least one submission is not finally graded."""

    exit_code = 7


class VerifyError(CourseError):
    """The kill matrix of a lab is not as its variants say."""

    exit_code = 8


class CheckFailedError(CourseError):
    """A learner's self-check ran, and at least one check does not pass yet."""

    exit_code = 9


class StorageError(CourseError):
    """The disk is full, or a file cannot be written."""

    exit_code = 10
