"""A full disk is one sentence with exit code 10, wherever it is met, and nothing half-made is left."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from environments.errors import FootprintError, StorageError
from environments.footprint import is_running, start
from environments.kind import images
from environments.kind.engine import failures
from environments.kind.prepare import KindConfig
from environments.kind.prepared import Prepared
from environments.supervisor import protocol
from environments.toolchain import Tool
from environments.yamlfile import load_yaml

COURSE = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own at `folder`; gives a function that makes it larger."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield lambda more: _remount(folder, more)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _remount(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@needs_root
def test_an_image_that_the_disk_does_not_hold_leaves_nothing_and_comes_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path / "disk"))
    program = tmp_path / "opa"
    program.write_bytes(bytes(600_000))
    tool = Tool(name="opa", version="1.0.0", path=program, source="path", origin="here")
    with small_disk(tmp_path / "disk", "1m") as enlarge:  # its layer has room, and the archive beside it has not
        with pytest.raises(StorageError, match="Cannot write the image of opa") as caught:
            images.archive(tool)
        assert "MOD209_CACHE" in caught.value.hint
        assert [path.name for path in images.folder().iterdir()] == [".lock"]
        enlarge("4m")
        assert images.archive(tool).is_file()


def test_what_a_killed_writer_of_an_image_left_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path))
    program = tmp_path / "opa"
    program.write_bytes(b"x")
    left = images.folder() / "mod209-image-0123"
    left.mkdir(parents=True)
    (left / "opa.layer").write_bytes(b"half")
    path = images.archive(Tool(name="opa", version="1.0.0", path=program, source="path", origin="here"))
    assert {one.name for one in images.folder().iterdir()} == {".lock", path.name}


@needs_root
@pytest.mark.servers
@pytest.mark.parametrize("provider", ["local", "kind"])
@pytest.mark.parametrize("used", [0, 4096])
def test_a_footprint_on_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, used: int
) -> None:
    config = load_yaml(COURSE / "labs/zero-trust/kind.yaml", KindConfig).model_dump()
    own = Prepared(image="none", lab_config=config)
    monkeypatch.setattr("environments.kind.prepare.prepare", lambda *_, watched: (own, {}))
    monkeypatch.setattr("environments.kind.prepare.reach_daemon", lambda: None)
    with small_disk(tmp_path / "disk", "4k"):
        if used:
            (tmp_path / "disk/other").write_bytes(bytes(used))
        directory = tmp_path / "disk" / "zero-trust"
        with pytest.raises(StorageError, match=f"{directory}") as caught:
            start("zero-trust", provider=provider, directory=directory, course=COURSE)
        assert "MOD209_STATE" in caught.value.hint
        assert "\n" not in caught.value.message
        assert not is_running(directory)


def test_a_full_disk_inside_of_the_supervisor_is_one_outside_too() -> None:
    for error in (StorageError("full", hint="free"), FootprintError("dead", hint="again")):
        told = protocol.error_of(protocol.failure(error))
        assert (type(told), told.message, told.hint) == (type(error), error.message, error.hint)


def test_a_full_disk_of_the_daemon_is_told_from_other_faults() -> None:
    answer: Any = SimpleNamespace(status_code=500, reason="Internal Server Error", url="/commit")
    with pytest.raises(StorageError, match="disk of the Docker daemon is full"), failures():
        raise APIError("x", answer, "write /var/lib/docker/tmp: no space left on device")
    with pytest.raises(FootprintError, match="Docker failed"), failures():
        raise APIError("x", answer, "something else")
