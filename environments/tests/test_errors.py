"""Errors: one root, an exit code for each kind, and a terminal that never shows a traceback for a user's mistake."""

from __future__ import annotations

import errno

import pytest
import typer

from environments import console, errors
from environments.errors import CourseError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CourseError)]


def test_exit_codes_are_unique_and_none_is_one_that_shells_or_click_use() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert not {0, 2} & set(codes)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_ends_in_its_sentence_its_hint_and_its_code(
    kind: type[CourseError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(kind("The [disk] is gone.", hint="Look below the table.")) == kind.exit_code
    shown = capsys.readouterr().err
    assert "error: The [disk] is gone." in shown
    assert "hint:  Look below the table." in shown
    assert "Traceback" not in shown


def test_a_full_disk_anywhere_is_a_storage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(OSError(errno.ENOSPC, "No space left on device", "/some/file")) == errors.StorageError.exit_code
    assert "The disk is full (/some/file)" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(KeyboardInterrupt()) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        _run(ZeroDivisionError())


def _run(error: BaseException) -> int:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["mod209"])
        return console.run(app)
