"""Get tools that are neither on `PATH` nor cached, from the first source that has them."""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from environments.errors import CourseError, StorageError, ToolError
from environments.toolchain.build import build
from environments.toolchain.catalog import Arch, architecture, spec_of
from environments.toolchain.download import download
from environments.toolchain.store import storage
from environments.toolchain.task import Task
from environments.toolchain.tool import Event, Progress, Stage, Tool, UnavailableError
from environments.toolchain.version import ask
from environments.toolchain.workshop import discard_workshop

TOOLS_VARIABLE: Final = "MOD209_TOOLS"
RELEASES_VARIABLE: Final = "MOD209_RELEASES"
_LET_GO_SECONDS: Final = 2.0

_Ended = queue.SimpleQueue[tuple[str, Tool | Exception]]


def acquire(names: Sequence[str], progress: Progress | None) -> dict[str, Tool]:
    """Get all of `names`, side by side; builds wait for one another.

    An interrupt (any exception in the calling thread) ends all work and all children.

    Raises:
        ToolError: one or more could not be had from any source; all reasons are given.
        StorageError: the cache cannot be written.
    """
    arch, cancel, tell = architecture(), threading.Event(), _one_at_a_time(progress)
    ended: _Ended = queue.SimpleQueue()
    outcomes: dict[str, Tool | Exception] = {}
    for name in names:
        # Daemons, so that a stalled download does not keep an interrupted process alive.
        threading.Thread(target=_work, args=(name, arch, cancel, tell, ended), name=f"get-{name}", daemon=True).start()
    try:
        while len(outcomes) < len(names):
            # Not Thread.join: interrupted, CPython 3.11's takes the thread for ended.
            name, outcomes[name] = ended.get()
    finally:
        cancel.set()
        _let_go(ended, len(names) - len(outcomes))
        discard_workshop()
    return _all_or_error({name: outcomes[name] for name in names})


def _let_go(ended: _Ended, running: int) -> None:
    """Give the threads that still run a moment to end their children and remove their half-done files."""
    deadline = time.monotonic() + _LET_GO_SECONDS
    with suppress(queue.Empty):
        for _ in range(running):
            ended.get(timeout=max(0.0, deadline - time.monotonic()))


def _one_at_a_time(progress: Progress | None) -> Callable[[Event], None]:
    lock = threading.Lock()

    def tell(event: Event) -> None:
        if progress is not None:
            with lock:
                progress(event)

    return tell


def _work(
    name: str,
    arch: Arch,
    cancel: threading.Event,
    tell: Callable[[Event], None],
    ended: _Ended,
) -> None:
    try:
        task = Task(name=name, spec=spec_of(name), arch=arch, cancel=cancel, tell=tell)
        ended.put((name, obtain(task)))
    except Exception as error:  # noqa: BLE001 - raised again in the calling thread
        ended.put((name, error))


def obtain(task: Task) -> Tool:
    """Get one tool from the first source that has it, unless another process just did.

    Raises:
        ToolError: no source has it.
        StorageError: the cache cannot be written.
        CancelledError: the caller gave up.
    """
    failures: list[tuple[str, UnavailableError]] = []
    with task.slot.locked(task.cancel, task.waiting):
        tool = task.slot.lookup() or _first(task, failures)
    if tool is None:
        reasons = "\n".join(f"  {label}: {failure.reason}" for label, failure in failures)
        raise ToolError(
            f"{task.name} {task.spec.version} could not be had from any source:\n{reasons}", hint=failures[-1][1].hint
        )
    task.report(Stage.READY, note=tool.origin)
    return tool


def _first(task: Task, failures: list[tuple[str, UnavailableError]]) -> Tool | None:
    for label, source in _sources(task):
        try:
            return source()
        except UnavailableError as failure:
            failures.append((label, failure))
            task.report(Stage.UNAVAILABLE, note=f"{label}: {failure.reason}")
    return None


def _sources(task: Task) -> Iterator[tuple[str, Callable[[], Tool]]]:
    place = os.environ.get(TOOLS_VARIABLE, "")
    if place.startswith(("http://", "https://")):
        yield "mirror", partial(download, task, "mirror", place)
    elif place:
        yield "directory", partial(_copy_from, Path(place).expanduser(), task)
    yield "release", partial(download, task, "release", os.environ.get(RELEASES_VARIABLE) or None)
    yield "build", partial(build, task)


def _copy_from(folder: Path, task: Task) -> Tool:
    if not folder.is_dir():
        raise ToolError(
            f"{TOOLS_VARIABLE} is {folder}, which is not a folder.",
            hint="Set it to a folder with the tools' binaries, or to the http(s) URL of a mirror.",
        )
    origin = (folder / task.name).absolute()
    if not origin.is_file():
        raise UnavailableError(f"{origin} does not exist")
    if ask(origin, task.spec) not in (None, task.spec.version):
        raise UnavailableError(f"{origin} is another version than {task.spec.version}")
    task.report(Stage.COPYING, note=str(origin))
    with storage(task.slot.folder), task.slot.partial() as copy:
        shutil.copyfile(origin, copy)
        return task.accept(copy, source="directory", origin=str(origin))


def _all_or_error(outcomes: dict[str, Tool | Exception]) -> dict[str, Tool]:
    """The tools, or the one error that says the most."""
    errors = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
    unexpected = [error for error in errors if not isinstance(error, CourseError)]
    full = [error for error in errors if isinstance(error, StorageError)]
    for error in (*unexpected, *full):
        raise error
    missing = [error for error in errors if isinstance(error, CourseError)]
    if missing:
        message = "\n".join(dict.fromkeys(error.message for error in missing))
        raise ToolError(message, hint=missing[0].hint)
    return {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Tool)}
