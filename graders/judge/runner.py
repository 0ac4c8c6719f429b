"""Run judges in processes of their own, forked from one that has only imported their libraries."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import IO, Final, Self

from environments.access import Access
from environments.errors import BadInputError
from environments.labspec import Capability, LabSpec
from environments.paths import state_dir
from environments.probes import Probe
from graders.judge.job import MESSAGE_BYTES, STOP, VERDICTS, Job
from graders.judge.judgement import Judgement, judgement

CHECKS: Final = Path(__file__).parent.parent / "checks"
MAX_VERDICT_BYTES: Final = 4 << 20
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
log = logging.getLogger(__name__)


class Judge:
    """Judges one footprint after another, each in a process forked from a clean one. Close it, or use it as a context.

    The clean process is started at once, and anew if it has ended. Not for two threads at once.
    """

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._running = ExitStack()
        self._channel: socket.socket | None = None
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the clean process, and a judge that still runs."""
        self._channel = None
        self._running.close()

    def judge(
        self,
        access: Access,
        spec: LabSpec,
        probes: Iterable[Probe],
        capabilities: Iterable[Capability],
        seed: bytes,
        timeout: float = 120.0,
    ) -> Judgement:
        """Judge the footprint behind `access` (the judge's own), and give a verdict on every check of the lab.

        `seed` draws what hidden probes ask. A check of which no clear verdict came within `timeout` seconds is
        `not_graded`, with the reason; it is never `passed`. Nothing is raised for what goes wrong in the judge's process.

        Raises:
            BadInputError: the lab has no checks.
        """
        folder = CHECKS / spec.slug
        if not folder.is_dir():
            raise BadInputError(f"There are no checks for the lab {spec.slug}.", hint="Is it a lab of this release?")
        job = Job(access=access, spec=spec, probes=list(probes), capabilities=frozenset(capabilities), seed=seed.hex())
        said, ending = self._run(folder, job.model_dump_json(by_alias=True).encode(), timeout)
        return judgement(spec, said, ending)

    def _start(self) -> None:
        """Start the clean process; what is wrong with it shows when it is first needed."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._empty = _empty_folder()
        with far:
            process = subprocess.Popen(
                [self._python, "-P", "-I", "-B", "-m", "graders.judge.forker", str(far.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._empty,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(self._empty)},
                pass_fds=(far.fileno(),),
                start_new_session=True,
            )
        self._running.callback(_reap, process)
        self._channel = self._running.enter_context(near)
        near.settimeout(START_SECONDS)
        self._is_ready = False

    def _run(self, folder: Path, job: bytes, timeout: float) -> tuple[bytes, str]:
        """What a judge said on its verdict pipe, and how it ended, in words for the reason of a missing verdict."""
        try:
            return self._ask(folder, job, timeout)
        except OSError as error:
            log.error("the clean process that judges are forked from has failed: %s", error)
            self.close()
            self._start()
            return b"", "The judge gave no verdict on this check (it did not start)."

    def _ask(self, folder: Path, job: bytes, timeout: float) -> tuple[bytes, str]:
        channel = self._ready_channel()
        said, output = bytearray(), bytearray()
        with tempfile.TemporaryFile() as asked, _listening(said) as verdicts, _listening(output) as printed:
            asked.write(job)
            asked.seek(0)
            descriptors = [asked.fileno(), printed.fileno(), verdicts.fileno()]
            socket.send_fds(channel, [json.dumps(_arguments(folder, self._empty)).encode()], descriptors)
            verdicts.close()
            printed.close()
            code = _await(channel, timeout)
        if code is None:
            return bytes(said), f"The judge was stopped after {timeout:g} s."
        if code not in (0, 1):  # 1: some check failed
            log.error("the judge ended with %d:\n%s", code, output[-4000:].decode(errors="replace"))
        return bytes(said), f"The judge gave no verdict on this check (it ended with code {code})."

    def _ready_channel(self) -> socket.socket:
        if self._channel is None:
            raise BrokenPipeError("it is closed")
        if not self._is_ready and not self._channel.recv(MESSAGE_BYTES):
            raise BrokenPipeError("it ended while it started")
        self._is_ready = True
        return self._channel


def _empty_folder() -> Path:
    """The home of every judge: one folder that nobody writes to, so that a killed grader leaves none behind."""
    folder = state_dir() / "empty"
    folder.mkdir(mode=0o500, parents=True, exist_ok=True)
    return folder


def _await(channel: socket.socket, timeout: float) -> int | None:
    """The judge's exit code; None if it was stopped because its time was up."""
    stopped = False
    channel.settimeout(timeout)
    try:
        answer = channel.recv(MESSAGE_BYTES)
    except TimeoutError:
        stopped = True
        channel.settimeout(STOP_SECONDS)
        channel.send(STOP)
        answer = channel.recv(MESSAGE_BYTES)
    finally:
        channel.settimeout(START_SECONDS)
    if not answer:
        raise BrokenPipeError("it ended under way")
    return None if stopped else int(answer)


def _arguments(folder: Path, empty: Path) -> list[str]:
    ours = [
        "-p",
        "graders.judge.plugin",
        f"--verdict-fd={VERDICTS}",
        "--strict-markers",
        "--capture=no",
        "--tb=short",
        "-q",
    ]
    # No file of a working folder, a home or a repository may configure this process.
    nobody_elses = [
        "--disable-plugin-autoload",
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"--rootdir={empty}",
    ]
    collection = [
        "--import-mode=importlib",
        "--assert=plain",
        "-o",
        "python_files=check_*.py",
        "-o",
        "python_functions=check_*",
    ]
    return [*ours, *nobody_elses, *collection, str(folder)]


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end that a closed socket brings; by force if it does not."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _listening(said: bytearray) -> Iterator[IO[bytes]]:
    """The writing end of a pipe, all of which is in `said` when the context is left."""
    reader, writer = os.pipe()
    listener = Thread(target=_listen, args=(reader, said), daemon=True)
    listener.start()
    with os.fdopen(writer, "wb", buffering=0) as writing:
        yield writing
    listener.join(STOP_SECONDS)  # a judge whose clean process was killed may hold the pipe a while longer


def _listen(reader: int, said: bytearray) -> None:
    with os.fdopen(reader, "rb") as stream:
        said += stream.read(MAX_VERDICT_BYTES)
        while stream.read(1 << 16):  # too much: keep the writer from blocking, keep nothing
            pass
