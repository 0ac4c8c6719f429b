"""Things that a notebook shows as widgets, a terminal as text."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipywidgets import Widget

VIEW = "application/vnd.jupyter.widget-view+json"
STYLE = """<style>
.mod209 {color: var(--jp-ui-font-color1, inherit); font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5}
.mod209 table {border-collapse: collapse; margin: 4px 0}
.mod209 th, .mod209 td {text-align: left; vertical-align: top; padding: 2px 14px 2px 0; border-bottom: 1px solid var(--jp-border-color2, #ccc)}
.mod209 td.number, .mod209 th.number {text-align: right}
.mod209 pre {margin: 4px 0; padding: 6px 8px; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 20em; overflow-y: auto;
  color: inherit; background: var(--jp-layout-color2, #eee); font-size: 12px}
.mod209 .long {max-height: 34em; overflow-y: auto}
.mod209 li {overflow-wrap: anywhere; margin-bottom: 4px}
.mod209 summary {cursor: pointer}
.mod209 ul {margin: 2px 0 8px 0; padding-left: 1.4em}
.mod209 .track {display: inline-block; width: 120px; height: 10px; border: 1px solid var(--jp-ui-font-color2, #555)}
.mod209 .track > span {display: block; height: 100%; background: var(--jp-ui-font-color2, #555)}
</style>"""


class Shown(ABC):
    """Something to look at. Its `repr` is the whole of it in words."""

    @abstractmethod
    def text(self) -> str:
        """The whole in words."""

    @abstractmethod
    def widget(self) -> Widget:
        """The whole as a widget, which goes on by itself; only called where ipywidgets is installed."""

    @abstractmethod
    def settle(self) -> None:
        """Wait for what was begun to be shown; Interrupt ends the waiting."""

    def __repr__(self) -> str:
        self.settle()
        return self.text()

    def _ipython_display_(self) -> None:
        if not in_notebook():
            print(repr(self))
            return
        from IPython.display import display  # noqa: PLC0415 - only notebooks have it

        bundle = {VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}}
        handle: Any = display(bundle | {"text/plain": self.text()}, raw=True, display_id=True)
        before = self.text()
        self.settle()
        if self.text() != before:  # for who reads the notebook later, without a kernel
            handle.update(bundle | {"text/plain": self.text()}, raw=True)


def in_notebook() -> bool:
    """Whether a kernel runs us that could have a front end, and widgets are installed."""
    try:
        import ipywidgets  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return False
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def block(html: str) -> str:
    """HTML in our style."""
    return f'{STYLE}<div class="mod209">{html}</div>'


def said(text: str) -> str:
    """A sentence that screen readers speak when it changes."""
    return block(f'<span role="status">{escape(text)}</span>')
