"""Run the judge in a process of its own, and turn what it says into verdicts."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Thread
from typing import Final

from pydantic import ValidationError

from environments.access import Access
from environments.errors import BadInputError
from environments.labspec import Capability, LabSpec
from environments.probes import Probe
from graders.judge.job import Job, Line
from graders.verdicts import CheckVerdict, Outcome, judged

CHECKS: Final = Path(__file__).parent.parent / "checks"
MAX_VERDICT_BYTES: Final = 4 << 20
log = logging.getLogger(__name__)


def judge(
    access: Access,
    spec: LabSpec,
    probes: Iterable[Probe],
    capabilities: Iterable[Capability],
    seed: bytes,
    python: str = sys.executable,
    timeout: float = 120.0,
) -> list[CheckVerdict]:
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
    said, ending = _run(python, folder, job.model_dump_json(by_alias=True).encode(), timeout)
    return _verdicts(spec, _lines(said), ending)


def _run(python: str, folder: Path, job: bytes, timeout: float) -> tuple[bytes, str]:
    """What the process said on its verdict pipe, and how it ended, in words for the reason of a missing verdict."""
    reader, writer = os.pipe()
    said: list[bytes] = []
    listener = Thread(target=_listen, args=(reader, said), daemon=True)
    with tempfile.TemporaryDirectory(prefix="mod209-judge-") as empty:
        try:
            process = subprocess.Popen(
                _argv(python, folder, Path(empty), writer),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=empty,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": empty},
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)
            listener.start()
        ending = _await(process, job, timeout)
    listener.join()
    return b"".join(said), ending


def _argv(python: str, folder: Path, empty: Path, descriptor: int) -> list[str]:
    isolated = [python, "-P", "-I", "-B", "-m", "pytest"]
    ours = [
        "-p",
        "graders.judge.plugin",
        f"--verdict-fd={descriptor}",
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
    return [*isolated, *ours, *nobody_elses, *collection, str(folder)]


def _await(process: subprocess.Popen[bytes], job: bytes, timeout: float) -> str:
    try:
        output, _ = process.communicate(job, timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"The judge was stopped after {timeout:g} s."
    except BaseException:
        _kill(process)
        raise
    if process.returncode not in (0, 1):  # 1: some check failed
        log.error("the judge ended with %d:\n%s", process.returncode, output[-4000:].decode(errors="replace"))
    return f"The judge gave no verdict on this check (it ended with code {process.returncode})."


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _listen(reader: int, said: list[bytes]) -> None:
    with os.fdopen(reader, "rb") as stream:
        said.append(stream.read(MAX_VERDICT_BYTES))
        while stream.read(1 << 16):  # too much: keep the writer from blocking, keep nothing
            pass


def _lines(said: bytes) -> list[Line]:
    found = []
    for raw in said.splitlines():
        try:
            found.append(Line.model_validate_json(raw))
        except ValidationError:
            log.error("the judge said something that is no verdict")
    return found


def _verdicts(spec: LabSpec, lines: Sequence[Line], ending: str) -> list[CheckVerdict]:
    by_check = {line.check: line for line in lines}
    counts = Counter(line.check for line in lines)
    verdicts = []
    for check in spec.checks:
        line = by_check.get(check.id)
        if line is None:
            verdicts.append(judged(spec, check.id, Outcome.NOT_GRADED, ending))
        elif counts[check.id] > 1:
            reason = "The judge gave more than one verdict on this check."
            verdicts.append(judged(spec, check.id, Outcome.NOT_GRADED, reason))
        else:
            verdicts.append(judged(spec, check.id, line.outcome, line.message, line.seconds))
    return verdicts
