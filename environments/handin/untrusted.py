"""Text that a learner may have written, made fit to be shown: bounded, and with nothing in it that acts."""

from __future__ import annotations

import re
import unicodedata

CUT = " … (cut)"
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|[@-Z\\^_])")


def displayable(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, without escape sequences, control or invisible characters, lone surrogates.

    Newlines and tabs stay. What was cut off or replaced is marked. Escaping for HTML or XML is the template's work.
    """
    # Cut first, so that a huge text costs no more than a short one; the rest cannot make it longer.
    shown = "".join(map(_safe, _ANSI.sub("", text[:limit].replace("\r\n", "\n"))))
    return shown if len(text) <= limit else shown[: max(0, limit - len(CUT))] + CUT


def one_line(text: str, limit: int) -> str:
    """`displayable` text on one line."""
    return " ".join(displayable(text, limit).split())


def _safe(char: str) -> str:
    if char in "\n\t" or char.isprintable():
        return char
    # Else it is a control, a formatting character such as right-to-left override, a lone surrogate, or no character at
    # all (U+FFFF, which makes XML unreadable).
    return " " if unicodedata.category(char).startswith("Z") else "\N{REPLACEMENT CHARACTER}"
