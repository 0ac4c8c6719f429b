"""What runs in a worker: a room of its own, kept warm between submissions, and one submission at a time in it."""

from __future__ import annotations

import asyncio
import signal
import threading

from distributed import Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from environments.errors import CourseError
from environments.yamlfile import Strict
from graders.grading import Graded, Task, grade_one, not_graded
from graders.intake import staged_digest
from graders.records import Kept
from graders.room import Room
from graders.scheduling.posting import Posting


class Fault(Strict):
    """An error of ours in words, with its exit code; exceptions of ours do not travel, JSON does."""

    message: str
    hint: str
    exit_code: int

    @classmethod
    def of(cls, error: CourseError) -> Fault:
        """The error in words."""
        return cls(message=error.message, hint=error.hint, exit_code=error.exit_code)


class Answer(Strict):
    """What a worker says of a task, or of its room: one of the two, or neither if the room is ready."""

    graded: Kept | None = None
    fault: Fault | None = None


class GradingPlugin(WorkerPlugin):
    """Proves the cage and starts a footprint when a worker joins; stops it when the worker leaves or the batch is over.

    `bound` says that the worker is this batch's own: Ctrl-C in the terminal then reaches it too, and is left to the batch.
    """

    def __init__(self, name: str, posting: str, *, bound: bool) -> None:
        self.name = name
        self._posting = posting
        self._bound = bound

    async def setup(self, worker: Worker) -> None:  # noqa: ARG002
        """Get ready; what fails is kept for whoever asks."""
        if self._bound and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.fault: Fault | None = None
        self._room: Room | None = None
        try:
            await asyncio.to_thread(self._open)
        except CourseError as error:
            self.fault = Fault.of(error)

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        """Leave nothing running."""
        if self._room is not None:
            await asyncio.to_thread(self._room.close)

    def grade(self, task: Task) -> Graded:
        """Grade one submission in this worker's room."""
        if self._room is None:
            return not_graded(self._setting.spec, task, "The worker had no footprint.")
        if staged_digest(task.path) != task.content:
            return not_graded(self._setting.spec, task, "The worker does not see the files that were taken in.")
        return grade_one(self._setting, task, self._room)

    def _open(self) -> None:
        self._setting = Posting.model_validate_json(self._posting).setting()
        self._setting.cage.prove()
        self._room = Room(self._setting.place)
        self._room.ready()


def condition(name: str, dask_worker: Worker) -> str:
    """JSON of an `Answer`: whether the room of the worker that this runs on is ready. Dask fills `dask_worker` in."""
    return Answer(fault=_plugin(dask_worker, name).fault).model_dump_json()


def grade_task(name: str, text: str) -> str:
    """JSON of an `Answer` to a `Task` in JSON; runs in a worker whose plugin `name` has a room."""
    plugin = _plugin(get_worker(), name)
    try:
        if plugin.fault is not None:
            return Answer(fault=plugin.fault).model_dump_json()
        return Answer(graded=Kept.of(plugin.grade(Task.model_validate_json(text)))).model_dump_json()
    except CourseError as error:
        return Answer(fault=Fault.of(error)).model_dump_json()


def _plugin(worker: Worker, name: str) -> GradingPlugin:
    plugin = worker.plugins[name]
    if not isinstance(plugin, GradingPlugin):
        raise TypeError(f"{name} is not of our making")
    return plugin
