"""What came back when a probe was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALLOWED: Final = "allowed"
REFUSED: Final = "refused"
NOT_ASKED: Final = "not asked"
MAX_DETAIL = 400


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer, judged. `ok` is None where the question could not be asked, which is never the learner's fault."""

    request: str
    expected: str
    got: str
    detail: str = ""
    ok: bool | None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A finding with the probe and the cloud that it belongs to; `seconds` is what it took to ask.

    `request`, `expected`, `got`, `detail` and `why` are short texts for a person. Show those of hidden probes
    (`visible` false) to instructors only.
    """

    probe_id: str
    check: str
    task: str
    cloud: str
    visible: bool
    why: str
    request: str
    expected: str
    got: str
    detail: str
    ok: bool | None
    seconds: float


class UnreachableError(Exception):
    """A server did not answer, or not to us: the question could not be asked."""


class BrokenError(Exception):
    """The servers answered, but what the learner's platform needs for this request is not there."""


def brief(text: str) -> str:
    """`text` of a server on one line, printable, and never longer than `MAX_DETAIL` characters."""
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * MAX_DETAIL])
    line = " ".join(line.split())
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 1] + "…"
