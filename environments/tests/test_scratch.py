"""Scratch folders go with their work, whenever it is interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from environments.scratch import scratch


def test_is_for_its_owner_alone_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch("test", tmp_path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("text")
        assert folder.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interrupted", ["mkdir", "rmtree"])
def test_ctrl_c_while_it_is_made_or_removed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    calls = []
    mkdir, rmtree = Path.mkdir, shutil.rmtree

    def made(self: Path, mode: int) -> None:
        mkdir(self, mode)
        calls.append("mkdir")
        raise KeyboardInterrupt

    def removed(path: Path, *, ignore_errors: bool) -> None:
        calls.append("rmtree")
        if calls.count("rmtree") == 1:
            raise KeyboardInterrupt
        rmtree(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(*((Path, "mkdir", made) if interrupted == "mkdir" else (shutil, "rmtree", removed)))
    with pytest.raises(KeyboardInterrupt), scratch("test", tmp_path):
        assert list(tmp_path.iterdir())
    assert interrupted in calls
    assert list(tmp_path.iterdir()) == []
