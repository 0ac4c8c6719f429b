"""A running footprint, as the command line, notebooks and graders see it: start one, or find the one that runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any, Literal

from environments.access import UNASKED, Access, Role, read_access
from environments.course import ACCESS_NAME, course_dir
from environments.errors import BadInputError, FootprintError, StorageError
from environments.labspec import SLUG, Capability, load_lab
from environments.params import LearnerParams, practice
from environments.paths import state_dir
from environments.scratch import scratch
from environments.supervisor import protocol
from environments.supervisor.process import tail
from environments.toolchain import Event, Stage, resolve, words

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """Progress that nobody watches."""


Part = Literal["admission", "vault", "rbac"]
SERVERS = ("etcd", "kube-apiserver", "opa", "vault", "reach")
PROGRAMS = {"local": SERVERS, "kind": ("kind", "opa", "vault", "reach", "ways")}
PROVIDER_FILE = "provider"  # in a footprint's directory
TEMPORARY = "temporary"
ABANDONED_SECONDS = 60.0  # a younger one may be about to start
TOLD_PACKAGES = 200
TOLD_BYTES = 20_000_000


class Footprint:
    """A client of the supervisor that owns the footprint in `directory`."""

    def __init__(self, directory: Path, provider: str = "local", owner: subprocess.Popen[str] | None = None) -> None:
        self.directory = directory
        self.provider = provider
        self._owner = owner

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        return read_access(self.directory / ACCESS_NAME).capabilities

    def access(self, role: Role, needs: Collection[Capability] | None = None) -> Access:
        """Endpoints and fresh credentials for a role; who says what it `needs` them for is not kept waiting for the rest."""
        return Access.model_validate(self._ask("access", role=role, needs=None if needs is None else sorted(needs)))

    def reset(self, only: Part | None = None, params: LearnerParams | None = None) -> dict[str, Any]:
        """Back to the baseline, proved; with other learner's parameters if given. Returns the proof.

        Raises:
            FootprintError: it is not equal to the baseline afterwards.
        """
        report: dict[str, Any] = self._ask("reset", only=only, params=params.model_dump() if params else None)
        return report

    def settle(self) -> dict[str, Any]:
        """Revoke the operator's credentials; returns `{"tampered": [...], "tokens_revoked": n}`."""
        report: dict[str, Any] = self._ask("settle")
        return report

    def status(self) -> dict[str, Any]:
        """State of every server, and what it lacks; see `ServedFootprint.status`."""
        status: dict[str, Any] = self._ask("status")
        return status

    def down(self) -> None:
        """Stop everything. Nothing of the footprint is left but its logs."""
        with contextlib.suppress(FootprintError):  # not running is what was wanted
            self._ask("down")
        if self._owner:
            _reap(self._owner)
        _wait_unlocked(self.directory)

    def _ask(self, operation: str, **arguments: Any) -> Any:
        return protocol.request(self.directory, operation, **arguments)


def footprint_dir(lab: str) -> Path:
    """Where the learner's own footprint of `lab` keeps its state.

    Raises:
        BadInputError: `lab` is no lab's name.
    """
    if not SLUG.fullmatch(lab):
        raise BadInputError(f"{lab!r} is not a lab's name.", hint="A lab's name is like zero-trust.")
    return state_dir() / lab


def is_running(directory: Path) -> bool:
    """Whether a supervisor owns `directory` now: it holds a lock that the kernel frees whatever becomes of it."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def attach(lab: str) -> Footprint:
    """The footprint of `lab` that runs already.

    Raises:
        FootprintError: none does.
    """
    directory = footprint_dir(lab)
    if not is_running(directory):
        raise FootprintError(f"The footprint of {lab} is not running.", hint=f"Start it: mod209 up {lab}")
    return Footprint(directory, _provider_in(directory))


def start(
    lab: str,
    *,
    provider: str = "local",
    directory: Path | None = None,
    params: LearnerParams | None = None,
    course: Path | None = None,
    progress: Progress = silent,
    bound: bool = False,
    engine: str = "",
    held: bool = False,
) -> Footprint:
    """Start a footprint and wait until it is ready. A `bound` one ends with this process, whatever ends that.

    In a `held` one pods are admitted and stored, and none runs but the judge's, whoever asks for it; on `local` none ever does.

    `course` is the course's root folder, where `kind` finds the lab's `kind.yaml`; the nearest one if not given. `engine`
    is a policy engine that stands beside OPA, on `kind`.

    Raises:
        BadInputError: no such provider, or no such engine on it.
        FootprintError: it runs already, or a server did not start.
        StorageError: the disk is full.
    """
    if provider not in PROGRAMS:
        raise BadInputError(f"There is no provider {provider!r}.", hint=f"Providers: {', '.join(PROGRAMS)}.")
    directory = directory or footprint_dir(lab)
    if is_running(directory):
        raise FootprintError(
            f"The footprint in {directory} is running already.", hint=f"Look at it: mod209 status {lab}"
        )
    plan = _plan(provider, lab, course, engine, progress)
    plan |= {"params": (params or practice()).model_dump(), "bound": bound, "held": held}
    try:
        _make_empty(directory)
        (directory / PROVIDER_FILE).write_text(provider)
        owner = _spawn(directory, plan)
    except OSError as error:
        raise _storage(error, directory) from None
    try:
        _await_ready(owner, directory, progress)
    except BaseException:
        owner.terminate()
        _reap(owner)
        raise
    if not bound:
        _open(owner.stdin).close()
        _open(owner.stdout).close()
    return Footprint(directory, provider, owner)


def _plan(provider: str, lab: str, course: Path | None, engine: str, progress: Progress) -> dict[str, Any]:
    """What the supervisor is told of the provider: its programs and, for kind, image, configuration and policy engine."""
    if engine and provider != "kind":
        raise BadInputError(
            f"There is no policy engine {engine!r} on {provider}.", hint="Engines run on: --provider kind."
        )
    if provider == "kind":
        from environments.kind.prepare import prepare, reach_daemon  # noqa: PLC0415 - `local` does without all of it

        reach_daemon()  # before anything is built for it
    tools = resolve(PROGRAMS[provider], progress=_ToolNews(progress))
    plan = {"provider": provider, "lab": lab, "binaries": {name: str(tool.path) for name, tool in tools.items()}}
    watched = _asks_for_runtime(lab, course)
    if provider == "kind":
        own, without = prepare(lab, course or course_dir(), engine, progress, is_running, watched=watched)
        return plan | {"own": own.model_dump(mode="json"), "without": without}
    return plan | {"without": {"runtime": "provider local runs no pods"} if watched else UNASKED}


def _asks_for_runtime(lab: str, course: Path | None) -> bool:
    """Whether a task needs runtime detection. `local` starts also where no course is, and nobody asks there."""
    try:
        return any(task.needs == "runtime" for task in load_lab(course or course_dir(), lab).tasks)
    except BadInputError:
        return False


@contextlib.contextmanager
def temporary(
    lab: str,
    params: LearnerParams | None = None,
    progress: Progress = silent,
    *,
    provider: str = "local",
    course: Path | None = None,
    engine: str = "",
) -> Iterator[Footprint]:
    """A footprint of one's own that lasts as long as the context, and ends with this process at the latest.

    Others' work is graded on it, so it is held, see `start`.
    """
    home = state_dir() / TEMPORARY
    _sweep(home)
    with scratch("footprint", home) as folder:
        footprint = start(
            lab,
            provider=provider,
            directory=folder / lab,
            params=params,
            course=course,
            progress=progress,
            bound=True,
            engine=engine,
            held=True,
        )
        try:
            yield footprint
        finally:
            footprint.down()


def forget(lab: str) -> list[str]:
    """Remove what a footprint of `lab` that does not run any more has left on a Docker daemon; returns names of networks.

    Raises:
        FootprintError: it was one of containers, and no daemon answers.
    """
    directory = footprint_dir(lab)
    if is_running(directory) or _provider_in(directory) != "kind":
        return []
    from environments.kind.engine import engine  # noqa: PLC0415 - `local` does without all of it
    from environments.kind.leftovers import sweep  # noqa: PLC0415

    with engine() as client:
        return [one.network for one in sweep(client, lambda path: path != directory)]


def _provider_in(directory: Path) -> str:
    """On what the footprint of a directory runs, or ran."""
    try:
        return (directory / PROVIDER_FILE).read_text()
    except FileNotFoundError:
        return "local"


def _sweep(home: Path) -> None:
    """Remove what temporary footprints of killed processes left: keys and logs, since their servers are dead."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for lock in home.glob("*/*/lock"):
        if time.time() - lock.stat().st_mtime > ABANDONED_SECONDS and not is_running(lock.parent):
            shutil.rmtree(lock.parent.parent, ignore_errors=True)


class _ToolNews:
    """Tells of a tool's next stage, and now and then how far it is; one line an event would be thousands."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told: dict[str, tuple[str, int]] = {}

    def __call__(self, event: Event, /) -> None:
        news = (event.stage.value, event.done // (TOLD_PACKAGES if event.stage is Stage.BUILDING else TOLD_BYTES))
        if self._told.get(event.tool) != news:
            self._told[event.tool] = news
            self._progress(f"{event.tool}: {words(event)}")


def _make_empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)


def _spawn(directory: Path, plan: dict[str, Any]) -> subprocess.Popen[str]:
    """A supervisor in a session of its own, so that Ctrl-C in a terminal never reaches it."""
    log = (directory / "supervisor.log").open("w")
    argv = [sys.executable, "-P", "-m", "environments.supervisor.server", str(directory)]
    with log:
        owner = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, cwd="/"
        )
    with contextlib.suppress(BrokenPipeError):  # it died already; reading its output says why
        _open(owner.stdin).write(json.dumps(plan) + "\n")
        _open(owner.stdin).flush()
    return owner


def _await_ready(owner: subprocess.Popen[str], directory: Path, progress: Progress) -> None:
    for line in _open(owner.stdout):
        message = json.loads(line)
        if "event" in message:
            progress(message["event"])
        elif "ready" in message:
            return
        else:
            raise protocol.error_of(message)
    log = directory / "supervisor.log"
    text = tail(log)
    if os.strerror(errno.ENOSPC) in text:
        raise StorageError(f"The disk below {directory} is full.", hint="Free some space, and start again.")
    raise FootprintError(f"The supervisor ended while starting:\n{text}", hint=f"The whole log is {log}.")


def _reap(owner: subprocess.Popen[str]) -> None:
    for pipe in (owner.stdin, owner.stdout):
        if pipe:
            pipe.close()
    owner.wait()


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise ValueError("the process was started without this pipe")
    return pipe


def _wait_unlocked(directory: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while is_running(directory):
        if time.monotonic() > deadline:
            raise FootprintError(f"The supervisor in {directory} does not end.", hint="Run the command again.")
        time.sleep(0.02)


def _storage(error: OSError, directory: Path) -> StorageError:
    return StorageError(
        f"Cannot write to {directory}: {error.strerror}.", hint="Free some space, or move MOD209_STATE."
    )
