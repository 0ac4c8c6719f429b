"""What all packages' tests share: one clean footprint for those that need servers, and no skip that CI does not expect."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from environments.errors import FootprintError
from environments.footprint import Footprint, temporary
from environments.kind.prepare import reach_daemon
from environments.tests.tier import THOROUGH

# Substrings of the reasons for which CI may skip a test. Everything else that is skipped there fails the run.
EXPECTED_SKIPS: tuple[str, ...] = ("is not built here: make engines",)
PROVIDERS = ("local", pytest.param("kind", marks=[pytest.mark.slow, pytest.mark.clusters]))
_unexpected: list[str] = []


@pytest.fixture(scope="session")
def shared_footprint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Footprint]:
    """One footprint for the whole session; use `footprint`, which is clean."""
    with temporary("zero-trust") as running:
        yield running


@pytest.fixture(scope="session")
def local_footprint(shared_footprint: Footprint) -> Footprint:
    """The same, for tests that run on every provider."""
    return shared_footprint


@pytest.fixture(scope="session")
def kind_footprint() -> Iterator[Footprint]:
    """One footprint of containers for all tests on clusters, which come last."""
    try:
        reach_daemon()
    except FootprintError as error:
        pytest.skip(f"{error.message} To start one: .ci/dockerd, then make node")
    with temporary("zero-trust", provider="kind") as running:
        yield running


@pytest.fixture(params=PROVIDERS)
def any_footprint(request: pytest.FixtureRequest) -> Footprint:
    """A footprint of each provider in turn, at its baseline."""
    running: Footprint = request.getfixturevalue(f"{request.param}_footprint")
    running.reset()
    return running


@pytest.fixture
def footprint(shared_footprint: Footprint) -> Footprint:
    """A running footprint at its baseline."""
    shared_footprint.reset()
    return shared_footprint


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests on clusters come last, so that those do not slow down everything else; some only come in a thorough run."""
    left_out = [item for item in items if item.get_closest_marker("thorough") and not THOROUGH]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("clusters") is not None)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(expected in reason for expected in EXPECTED_SKIPS):
            _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("CI") and _unexpected and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") and _unexpected:
        terminalreporter.section("skips that CI does not expect", red=True)
        for line in _unexpected:
            terminalreporter.line(line)
