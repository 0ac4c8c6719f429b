"""The command `mod209`, whole: every command that the README names is there, and its table of exit codes is true."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from assessment.cli import main
from assessment.demo import SUBMISSIONS
from environments import console, errors
from environments.cli import app
from environments.errors import CourseError
from graders.tests.batches import COURSE, SPEC
from graders.variants import load_variants

README = (COURSE / "README.md").read_text()
NAMED = sorted(set(re.findall(r"mod209 ([a-z]+)", README)))
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["mod209", *words])
    return main()


def test_the_readme_names_commands_that_exist() -> None:
    assert len(NAMED) > 5
    assert set(NAMED) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_each_of_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    assert f"Usage: mod209 {command}" in " ".join(capsys.readouterr().out.split())
    options = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    assert [one.name for one in options if not one.help and one.name != "help"] == []


def test_the_readme_gives_every_exit_code_and_no_other() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CourseError)]
    ours = {kind.exit_code for kind in kinds if kind is not CourseError}
    assert table == ours | {0, 2, console.INTERRUPTED}


@pytest.mark.parametrize("words", [["--help"], ["no-such-command"], []])
def test_the_module_is_the_command(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "assessment", *words],
        cwd=COURSE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == (0 if words == ["--help"] else 2)
    assert "Usage:" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_hands_in_variants_that_exist() -> None:
    kinds = {variant.name: variant.kind for variant in load_variants(COURSE, SPEC)}
    assert [kinds.get(name) for name in SUBMISSIONS.values()] == ["reference", "broken", "hostile"]


def test_the_demo_leaves_files_of_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis.txt").write_text("Do not lose me.")
    assert run(monkeypatch, "demo", "--out", str(tmp_path), "--course", str(COURSE)) == 3
    assert (tmp_path / "thesis.txt").exists()
