"""How verdicts are called before people: a symbol and a word, so that colour is never needed to tell them apart."""

from __future__ import annotations

from typing import Final, NamedTuple

from graders.verdicts import Outcome, SubmissionVerdict

NO_POINTS: Final = "\N{EN DASH}"


class Word(NamedTuple):
    """A verdict before people. `style` names its colour on a terminal and its class on a page."""

    symbol: str
    word: str
    meaning: str
    style: str


OUTCOMES: Final = {
    Outcome.PASSED: Word("✓", "Passed", "It does what it must.", "good"),
    Outcome.FAILED: Word("✗", "Not passed", "It does not do what it must yet; the advice says where to look.", "bad"),
    Outcome.NOT_GRADED: Word("○", "Not graded", "It could not be judged. It costs no points and gives none.", "open"),
    Outcome.TAMPERED: Word("!", "Tampered", "It was not judged, because something off limits was changed.", "held"),
}
VERDICTS: Final = {
    SubmissionVerdict.GRADED: Word("✓", "Graded", "Every check was judged; the score is final.", "good"),
    SubmissionVerdict.PARTLY_GRADED: Word(
        "◐", "Partly graded", "Some checks could not be judged; the score may still rise.", "open"
    ),
    SubmissionVerdict.NOT_GRADED: Word("○", "Not graded", "Nothing could be judged; there is no score yet.", "open"),
    SubmissionVerdict.TAMPERED: Word(
        "!", "Tampered", "Something that is off limits was changed. The score is 0 until a person has looked.", "held"
    ),
}


def points(number: int | None) -> str:
    """Points before people; a dash where nothing was graded."""
    return NO_POINTS if number is None else str(number)
