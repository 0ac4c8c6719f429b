"""What the judge asked for a check and what came back, made fit to be shown to the learner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from environments.handin.untrusted import one_line
from graders.verdicts import Asked

MAX_SHOWN: Final = 8  # exchanges a check; more would hide what they have in common
MAX_FIELD: Final = 500
_TEXTS: Final = ("request", "expected", "got", "detail", "why")


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request that was not answered as it must be, or could not be asked, on `clouds`; each text is one bounded line."""

    clouds: tuple[str, ...]
    request: str
    expected: str
    got: str
    detail: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Exchanges:
    """The visible requests of one check, counted; `shown` are those that need a look, `more` counts what is left out."""

    wrong: int
    unasked: int
    right: int
    shown: tuple[Exchange, ...]
    more: int


def exchanges(asked: Iterable[Asked]) -> Exchanges:
    """`asked`, wrong ones first, those that differ by the cloud alone together, and bounded."""
    given = list(asked)
    wrong = [one for one in given if one.ok is False]
    unasked = [one for one in given if one.ok is None]
    clouds: dict[tuple[str, ...], list[str]] = {}
    for one in [*wrong, *unasked]:
        clouds.setdefault(_texts(one), []).append(one_line(one.cloud, 64))
    shown = tuple(_exchange(texts, where) for texts, where in list(clouds.items())[:MAX_SHOWN])
    return Exchanges(
        wrong=len(wrong),
        unasked=len(unasked),
        right=len(given) - len(wrong) - len(unasked),
        shown=shown,
        more=len(clouds) - len(shown),
    )


def _texts(one: Asked) -> tuple[str, ...]:
    return tuple(one_line(getattr(one, name), MAX_FIELD) for name in _TEXTS)


def _exchange(texts: tuple[str, ...], clouds: Iterable[str]) -> Exchange:
    request, expected, got, detail, why = texts
    seen = tuple(dict.fromkeys(clouds))[:MAX_SHOWN]
    return Exchange(clouds=seen, request=request, expected=expected, got=got, detail=detail, why=why)
