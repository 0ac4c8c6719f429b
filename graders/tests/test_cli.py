"""The command `mod209 grade` where it cannot grade: one sentence, one hint, the right exit code, and nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from environments import console
from environments.errors import CageError
from graders.cage.bubblewrap import cage as bubblewrap
from graders.cli import add_commands
from graders.tests.batches import COURSE, SLUG, hand_in

NOBODY = 65534


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOD209_CONFIG", "MOD209_STATE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("MOD209_COURSE", raising=False)
    monkeypatch.chdir(COURSE)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    app = typer.Typer()
    add_commands(app)
    monkeypatch.setattr("sys.argv", ["mod209", *words])
    return console.run(app)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["grade", SLUG, "{here}/nowhere", "--out", "{here}/out"], 3, "Cannot read"),
        (["grade", SLUG, "{here}/empty", "--out", "{here}/out"], 3, "There is no submission of zero-trust in"),
        (["grade", SLUG, "{here}/file", "--out", "{here}/out"], 3, "Not a directory"),
        (["grade", "no-lab", "{here}/empty", "--out", "{here}/out"], 3, "no-lab"),
        (["grade", "../labs", "{here}/empty", "--out", "{here}/out"], 3, "error:"),
        (["grade", SLUG, "{here}/empty", "--out", "{here}/out", "--provider", "moon"], 3, "no provider 'moon'"),
        (["grade", SLUG, "{here}/empty", "--out", "{here}/out", "--provider", "kind"], 3, "There is no submission"),
        (["grade", SLUG, "{here}/empty", "--out", "{here}/file/out"], 10, "Cannot write to"),
        (["grade", SLUG, "{here}/empty", "--out", "{here}/out", "--term-key", "{here}/open"], 3, "Others can read"),
        (["grade", SLUG, "{here}/empty", "--out", "{here}/out", "--course", "{here}"], 3, "error:"),
        (["grade", SLUG, "{here}/empty"], 2, "Missing option '--out'"),
        (["grade"], 2, "Missing argument"),
        (["verify", SLUG, "--provider", "moon"], 3, "no provider 'moon'"),
        (["verify", SLUG, "--only", "a-typo"], 3, "no variant a-typo"),
        (["verify", "no-lab"], 3, "no-lab"),
        (["release", "no-lab"], 3, "no-lab"),
        (["bundle", "no-lab", "--out", "{here}/out"], 3, "no-lab"),
        (["bundle", SLUG, "--out", "{here}/out", "--learner", "../ada"], 3, "cannot be a learner's id"),
        (["bundle", SLUG, "--out", "{here}/out", "--roster", "{here}/none.csv"], 3, "none.csv"),
        (["collect", SLUG, "{here}/empty", "--into", "{here}/out"], 3, "There is no archive"),
        (["collect", "no-lab", "{here}/empty"], 3, "no-lab"),
    ],
)
def test_a_mistake_ends_in_a_sentence_and_its_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    sentence: str,
) -> None:
    (tmp_path / "empty" / "ada" / "another-lab").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "open").write_bytes(bytes(32))
    assert run(monkeypatch, *(word.format(here=tmp_path) for word in words)) == code
    shown = capsys.readouterr().err
    assert sentence in " ".join(shown.replace("│", "").split())
    assert "Traceback" not in shown
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("command", ["grade", "verify", "release", "bundle", "collect"])
def test_every_command_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    assert "Usage:" in capsys.readouterr().out


def test_refused_submissions_alone_need_no_cage_and_end_with_7(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "submitted", "ada")
    (tmp_path / "submitted" / "ada" / SLUG / "zt-1-identity-federation.ipynb").write_text("no notebook")
    out = tmp_path / "out"
    assert run(monkeypatch, "grade", SLUG, str(tmp_path / "submitted"), "--out", str(out), "--json") == 7
    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads((out / "results.json").read_text())
    assert "1 of 1 submissions are not finally graded: ada (not_graded)" in " ".join(shown.err.split())


def test_without_bubblewrap_nothing_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the cage of who is not root has another test")
    monkeypatch.setattr(bubblewrap, "_SYSTEM_PATH", str(tmp_path))
    monkeypatch.setattr(bubblewrap, "_from_wheel", lambda: None)
    _nothing_graded(tmp_path, capsys, monkeypatch, "bubblewrap is missing")


def test_a_cage_that_does_not_hold_grades_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leaks(_: object) -> None:
        raise CageError("the cage does not hold: it read a secret", hint="Run: mod209 doctor")

    monkeypatch.setattr(bubblewrap.BubblewrapCage, "prove", leaks)
    _nothing_graded(tmp_path, capsys, monkeypatch, "the cage does not hold")


def _nothing_graded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, sentence: str
) -> None:
    hand_in(tmp_path / "submitted", "ada")
    out = tmp_path / "out"
    assert run(monkeypatch, "grade", SLUG, str(tmp_path / "submitted"), "--out", str(out)) == 6
    shown = capsys.readouterr().err
    assert sentence in shown
    assert shown.count("error:") == shown.count("hint:") == 1
    assert _visible(out) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_nobody_but_root_has_a_cage(tmp_path: Path) -> None:
    hand_in(tmp_path / "submitted", "ada")
    (tmp_path / "config").mkdir()
    for path in (tmp_path / "config", tmp_path):
        os.chown(path, NOBODY, NOBODY)
    command = [sys.executable, "-m", "assessment", "grade", SLUG, "submitted", "--out", "out", "--course", str(COURSE)]
    setpriv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "MOD209_CONFIG": str(tmp_path / "config"),
        "PYTHONPATH": str(COURSE),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with _reachable(tmp_path):
        ended = subprocess.run(
            [*setpriv, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 6, ended.stderr
    assert "the cage needs root" in ended.stderr
    assert ended.stderr.count("hint:") == 1
    assert "Traceback" not in ended.stderr
    assert _visible(tmp_path / "out") == []


@contextmanager
def _reachable(folder: Path) -> Iterator[None]:
    """Let nobody pass through the folders above, which pytest makes for the user alone."""
    closed = {path: path.stat().st_mode for path in folder.parents if not path.stat().st_mode & 0o001}
    for path, mode in closed.items():
        path.chmod(mode | 0o001)
    try:
        yield
    finally:
        for path, mode in closed.items():
            path.chmod(mode)


def _visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
