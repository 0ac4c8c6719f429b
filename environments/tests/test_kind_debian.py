"""Debian under the node image: which mirror is taken, what is made anew, and what is said when it cannot be."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from docker.errors import ImageNotFound

from environments.errors import FootprintError, StorageError
from environments.kind.nodeimage import debian

pytest_plugins = ["environments.tests.docker_fixtures"]

OURS = [
    "http://mirror.example/debian|bookworm|Debian|Debian",
    "http://mirror.example/debian|bookworm|Debian|Debian",
    "http://mirror.example/debian|bookworm-updates|Debian|Debian",
    "http://security.example/debian-security/|bookworm-security|Debian|Debian-Security",
]
THIRD = ["https://a.example/linux/debian/|trixie|A Company|A Company CE", "https://b.example|stable||"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a root folder of Debian")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts programs on `PATH`, before the real ones; `only` takes these away."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return SimpleNamespace(put=put, only=lambda: monkeypatch.setenv("PATH", str(folder)))


def apt(machine: Any, lines: list[str]) -> None:
    machine.put("apt-get", "\n".join(["cat <<'END'", *lines, "END"]))


@pytest.mark.parametrize("lines", [THIRD + OURS, OURS + THIRD, OURS[::-1] + THIRD])
def test_debians_own_mirror_is_taken_wherever_a_third_partys_stands(machine: Any, lines: list[str]) -> None:
    apt(machine, lines)
    assert list(debian.sources(debian.repositories())) == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://security.example/debian-security trixie-security main",
    ]


def test_what_this_machine_does_not_ask_for_is_not_asked_for_either(machine: Any) -> None:
    apt(machine, ["http://mirror.example/debian|trixie-backports|Debian Backports|Debian Backports", *OURS[:1]])
    assert list(debian.sources(debian.repositories())) == ["deb http://mirror.example/debian trixie main"]


@pytest.mark.parametrize("lines", [[], THIRD, ["http://u.example|noble|Ubuntu|Ubuntu"], ["nonsense"]])
def test_apt_without_debians_sources_is_one_sentence(machine: Any, lines: list[str]) -> None:
    apt(machine, lines)
    with pytest.raises(FootprintError, match="no repository of Debian's own") as caught:
        list(debian.sources(debian.repositories()))
    assert "apt-get update" in caught.value.hint


def test_a_machine_without_apt_is_told_what_else_there_is(machine: Any) -> None:
    machine.only()
    with pytest.raises(FootprintError, match="Only a Debian machine") as caught:
        debian.repositories()
    assert "MOD209_TOOLS" in caught.value.hint


@pytest.mark.parametrize("script", ["exec sleep 60", "exit 100"])
def test_an_apt_that_hangs_or_fails_is_one_sentence(machine: Any, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(debian, "APT_SECONDS", 0.3)
    machine.put("apt-get", script)
    with pytest.raises(FootprintError, match="apt does not say"):
        debian.repositories()


def test_a_machine_without_debootstrap_is_told_to_install_it(
    machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.only()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(FootprintError, match="debootstrap is missing") as caught:
        debian.bootstrap(SimpleNamespace(), tmp_path, "http://mirror.example")
    assert "apt-get install debootstrap" in caught.value.hint


def test_only_root_is_let_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(FootprintError, match="Only root"):
        debian.bootstrap(SimpleNamespace(), tmp_path, "http://mirror.example")


@needs_root
@pytest.mark.parametrize(
    ("script", "kind", "sentence"),
    [
        ("echo E: Failed getting release file; exit 1", FootprintError, "E: Failed getting release file"),
        ("echo tar: x: No space left on device; exit 2", StorageError, "The disk is full"),
    ],
)
def test_a_debootstrap_that_fails_says_why(
    machine: Any, tmp_path: Path, script: str, kind: type[Exception], sentence: str
) -> None:
    machine.put("debootstrap", script)
    with pytest.raises(kind, match=sentence):
        debian.bootstrap(SimpleNamespace(), tmp_path, "http://mirror.example")


@needs_root
def test_a_debootstrap_that_hangs_is_ended_with_its_children_and_its_mounts(
    machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "BOOTSTRAP_SECONDS", 2.0)
    mounted = tmp_path / "root" / "proc"
    machine.put("debootstrap", f"mkdir -p {mounted}; mount -t proc proc {mounted}; echo still here; sleep 1209 & wait")
    with pytest.raises(FootprintError, match="did not end within") as caught:
        debian.bootstrap(SimpleNamespace(), tmp_path, "http://mirror.example")
    assert "still here" in caught.value.message
    assert not [one.pid for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "1209"]]
    assert not list(mounted.iterdir())


@pytest.mark.parametrize(
    ("days", "recipe", "fresh"), [(0, "this", True), (29, "this", True), (31, "this", False), (0, "another", False)]
)
def test_a_base_system_that_is_old_or_made_otherwise_is_made_anew(days: int, recipe: str, fresh: bool) -> None:
    made = (datetime.now(UTC) - timedelta(days=days)).isoformat().replace("+00:00", "123Z")
    label = debian.recipe() if recipe == "this" else recipe
    image = SimpleNamespace(attrs={"Created": made}, labels={debian.RECIPE_LABEL: label})
    assert debian.is_fresh(SimpleNamespace(images=SimpleNamespace(get=lambda name: image))) is fresh


@needs_root
def test_a_base_system_is_one_that_is_known_again(
    machine: Any, tmp_path: Path, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mod209-test/{secrets.token_hex(4)}:1"
    monkeypatch.setattr(debian, "DEBIAN", name)
    machine.put("debootstrap", 'mkdir -p "$3/usr/share/doc/x" && echo hello >"$3/hello"')
    assert not debian.is_fresh(daemon)
    debian.bootstrap(daemon, tmp_path, "http://mirror.example")
    try:
        assert debian.is_fresh(daemon)
    finally:
        daemon.api.remove_image(name)
    assert not (tmp_path / "root").exists()
    with pytest.raises(ImageNotFound):
        daemon.images.get(name)
