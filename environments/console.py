"""What the terminal shows: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from environments.errors import CourseError, StorageError

INTERRUPTED = 130
STOPPED = "Interrupted. Nothing is left running; the same command carries on."
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def run(app: typer.Typer) -> int:
    """Run the command line and return its exit code; a user's mistake gives a sentence and a hint, never a traceback."""
    # A polite end (systemd, docker stop, `kill`) unwinds as Ctrl-C does, so that nothing is left running.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)  # typer gives an exit code here, and what a command returned
    except CourseError as error:
        return _report(error)
    except (KeyboardInterrupt, typer.Abort):
        err.print(STOPPED, style="yellow")
        return INTERRUPTED
    except BrokenPipeError:  # `mod209 … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _report(
            StorageError(
                f"The disk is full ({error.filename or 'no file named'}).",
                hint="Free some space and run the command again.",
            )
        )
    except Exception as error:
        if not hasattr(error, "exit_code") or not hasattr(error, "show"):  # click's own errors of usage have both
            raise
        error.show()
        return int(error.exit_code)
    if code == INTERRUPTED:
        err.print(STOPPED, style="yellow")
    return code if isinstance(code, int) else 0


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show `title` and, beside it, the latest event; on a terminal as a spinner, elsewhere one line an event."""
    if not err.is_terminal:
        yield lambda text: err.print(f"{title}: {text}")
        return
    with err.status(title) as status:
        yield lambda text: status.update(f"{title}: {text}")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    sys.stdout.flush()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _report(error: CourseError) -> int:
    err.print(f"[bold red]error:[/] {_escape(error.message)}", soft_wrap=True)
    err.print(f"[bold]hint:[/]  {_escape(error.hint)}", soft_wrap=True)
    return error.exit_code


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
