"""`mod209 tools`, as a user runs it."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from environments.errors import ToolError
from environments.tests.toolchain_mirror import PUBLISHED, Machine, Mirror, fake_binary
from environments.toolchain import catalog
from environments.toolchain.catalog import wanted_by
from environments.toolchain.cli import tools_command

pytest_plugins = ["environments.tests.toolchain_fixtures"]


@pytest.fixture
def app() -> typer.Typer:
    """The command alone."""
    app = typer.Typer()
    app.command()(tools_command)
    return app


@pytest.fixture
def releases(machine: Machine, mirror: Mirror) -> Mirror:
    """A publisher that has all tools but our own, which a Go builds."""
    machine.environment.setenv("MOD209_RELEASES", mirror.url)
    machine.environment.setenv("COLUMNS", "160")
    for name in PUBLISHED:
        mirror.publish(name, fake_binary(name))
    made = {name: machine.put(name, fake_binary(name), machine.root / "payload") for name in ("reach", "ways")}
    machine.put_go(f'case "$*" in *ways) /bin/cp {made["ways"]} $out;; *) /bin/cp {made["reach"]} $out;; esac')
    return mirror


def test_listing_downloads_nothing(app: typer.Typer, releases: Mirror) -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert result.stdout.count("not here yet") == len(wanted_by("all"))
    assert releases.asked == []


def test_fetch_gets_what_is_missing_and_draws_on_standard_error(app: typer.Typer, releases: Mirror) -> None:
    result = CliRunner().invoke(app, ["--fetch", "--json"])
    tools = json.loads(result.stdout)["tools"]
    assert {tool["name"]: (tool["version"], tool["source"]) for tool in tools} == {
        name: (catalog()[name].version, "release" if catalog()[name].release else "built") for name in wanted_by("all")
    }
    assert "ready" in result.stderr
    assert releases.asset("vault") in releases.asked


def test_json_has_null_for_what_is_missing(app: typer.Typer, releases: Mirror, machine: Machine) -> None:
    path = machine.put("opa", fake_binary("opa"))
    rows = {tool["name"]: tool for tool in json.loads(CliRunner().invoke(app, ["--json"]).stdout)["tools"]}
    assert rows["opa"] == {
        "name": "opa",
        "version": catalog()["opa"].version,
        "path": str(path),
        "source": "path",
        "origin": str(path),
    }
    assert (rows["vault"]["path"], rows["vault"]["source"], rows["vault"]["origin"]) == (None, None, None)
    assert releases.asked == []


def test_the_table_says_where_each_tool_came_from(app: typer.Typer, releases: Mirror) -> None:
    CliRunner().invoke(app, ["--fetch"])
    output = CliRunner().invoke(app, []).stdout
    assert output.count("cache, release:") == len(PUBLISHED)
    assert output.count("cache, built:") == 1


def test_a_failure_is_an_expected_error(app: typer.Typer, releases: Mirror, machine: Machine) -> None:
    machine.put_go("exit 1")
    releases.faults[releases.checksums("etcd")] = "missing"
    result = CliRunner().invoke(app, ["--fetch"])
    assert isinstance(result.exception, ToolError)
