"""The templates of all pages. Every value is escaped; no page loads anything, and each is complete without its script."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from graders.report.words import NO_POINTS, points

_TEMPLATES = Path(__file__).with_name("templates")
_MINUTES_FROM = 120


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script of ours, and the `source` by which a page's content security policy allows it and no other."""

    text: Markup
    source: str


def render(template: str, **values: Any) -> str:
    """The page `template` filled with `values`."""
    return _environment().get_template(template).render(**values)


@cache
def script(name: str) -> Script:
    """The script `name` of the templates' folder."""
    data = (_TEMPLATES / name).read_bytes()
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return Script(text=Markup(data.decode()), source=f"'sha256-{digest}'")  # noqa: S704 - a file of ours, no input


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "points": points,
        "when": _when,
        "share": _share,
        "percent": _percent,
        "duration": _duration,
    }
    return environment


def _when(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".strip()


def _share(part: float | None, whole: float) -> str:
    """Per cent for a bar's width."""
    return f"{100 * (part or 0) / whole:.4g}%" if whole else "0%"


def _percent(part: int, whole: int) -> str:
    """Per cent for people; a dash of nothing."""
    return f"{100 * part / whole:.0f} %" if whole else NO_POINTS


def _duration(seconds: float) -> str:
    if seconds < _MINUTES_FROM:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"
