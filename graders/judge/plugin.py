"""The pytest plugin of the judge's process: reads the job, probes once, and streams a verdict a check.

The job comes on standard input and verdicts leave by an inherited descriptor, so that neither is ever in a file, an
argument or the environment. Loaded by `-p`; see `runner.py`.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Generator, Sequence
from typing import Final

import pytest

from environments.probes import Observation, Prober
from graders.judge.evidence import CannotJudgeError, Evidence, NotHeldError
from graders.judge.job import Job, Line
from graders.judge.marks import check_of
from graders.verdicts import Asked, Outcome

MAX_ASKED: Final = 60
VERDICTS = pytest.StashKey[int]()
JOB = pytest.StashKey[Job]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The descriptor that verdicts go to."""
    parser.addoption("--verdict-fd", type=int, required=True)


def pytest_configure(config: pytest.Config) -> None:
    """Take the job in."""
    config.stash[VERDICTS] = config.getoption("--verdict-fd")
    config.stash[JOB] = Job.model_validate_json(sys.stdin.buffer.read())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the checks that the lab at hand does not have."""
    known = {check.id for check in config.stash[JOB].spec.checks}
    items[:] = [item for item in items if check_of(_function(item)) in known]


@pytest.fixture(scope="session")
def job(pytestconfig: pytest.Config) -> Job:
    """What is to be judged."""
    return pytestconfig.stash[JOB]


@pytest.fixture(scope="session")
def observations(job: Job) -> Sequence[Observation]:
    """The answers to all probes, asked at once before the first check."""
    return Prober(job.access, job.capabilities, bytes.fromhex(job.seed)).run(job.probes)


@pytest.fixture
def evidence(request: pytest.FixtureRequest, job: Job, observations: Sequence[Observation]) -> Evidence:
    """The observations of the check that asks for them."""
    check_id = check_of(request.function)
    needs = job.spec.task(check_id.split(".")[0]).needs
    if needs not in job.capabilities:
        why = job.access.without.get(needs)
        raise CannotJudgeError(f"This footprint ({job.access.provider}) has no {needs}{f': {why}' if why else ''}.")
    mine = [seen for seen in observations if seen.check == check_id]
    return Evidence(clouds=list(job.access.clouds), observations=mine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say the verdict as soon as it is known: at the check's end, or where its set-up failed."""
    report = yield
    if call.when == "call" or (call.when == "setup" and call.excinfo):
        outcome, message = reason(_advice(item), call.excinfo.value if call.excinfo else None)
        seen = _seen(item)
        # Its probes were asked side by side, before any check began: what they took is added up.
        seconds = sum(one.seconds for one in seen)
        line = Line(
            check=check_of(_function(item)),
            outcome=outcome,
            message=message,
            seconds=seconds,
            asked=asked(seen),
            failed_on=failed_on(outcome, seen),
        )
        _say(item.config.stash[VERDICTS], line)
    return report


def reason(advice: str, error: BaseException | None) -> tuple[Outcome, str]:
    """Outcome and message of a check that ended with `error`. Whatever is not a clear pass or fail is not graded."""
    if error is None:
        return Outcome.PASSED, ""
    if isinstance(error, NotHeldError):
        return Outcome.FAILED, f"{advice}\n\n{error}"
    if isinstance(error, CannotJudgeError):
        return Outcome.NOT_GRADED, str(error)
    return Outcome.NOT_GRADED, f"The check itself failed ({type(error).__name__}). This is not your fault."


def failed_on(outcome: Outcome, seen: Sequence[Observation]) -> tuple[str, ...]:
    """The clouds that gave a wrong answer, where that is why a check failed."""
    return tuple(sorted({one.cloud for one in seen if one.ok is False})) if outcome is Outcome.FAILED else ()


def asked(seen: Sequence[Observation]) -> tuple[Asked, ...]:
    """The visible ones of a check's observations, wrong ones first, for the learner to read; no more than `MAX_ASKED`."""
    visible = sorted((one for one in seen if one.visible), key=lambda one: (one.ok is True, one.ok is None))
    return tuple(
        Asked(
            cloud=one.cloud,
            request=one.request,
            expected=one.expected,
            got=one.got,
            detail=one.detail,
            why=one.why,
            ok=one.ok,
        )
        for one in visible[:MAX_ASKED]
    )


def _seen(item: pytest.Item) -> Sequence[Observation]:
    evidence: Evidence | None = getattr(item, "funcargs", {}).get("evidence")
    return evidence.observations if evidence else ()


def _function(item: pytest.Item) -> object:
    return getattr(item, "obj", None)


def _advice(item: pytest.Item) -> str:
    """The check's docstring, a line a paragraph: where its lines break is the source's business."""
    paragraphs = (inspect.getdoc(_function(item)) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _say(descriptor: int, line: Line) -> None:
    data = line.model_dump_json().encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]
