"""Collecting hand-ins: archives that lie, climb, link or swell are refused; nothing handed in is ever lost."""

from __future__ import annotations

import io
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from environments import console
from environments.handin.archive import ArchiveError, pack, unpack
from environments.handin.folder import MAX_FILE_BYTES, MAX_FILES, Contents, read_folder
from environments.handin.receipt import Receipt
from environments.handin.submit import submit
from graders.cli import add_commands
from graders.collect import ARCHIVES, collect
from graders.tests.batches import COURSE, RELEASE, SLUG, SPEC, digests

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SMALL = Contents(files={"a.py": b"a = 1\n", "policies/b.rego": b"package b\n"}, left_out=())
Build = Callable[[zipfile.ZipFile], None]


def archive(folder: Path, learner: str = "ada", hours: int = 0, note: str = "") -> Path:
    """A hand-in of the lab as released, with a note in it, so many hours after noon."""
    work = folder / f"{learner}-{hours}"
    shutil.copytree(RELEASE, work)
    (work / "notes.md").write_text(note)
    return submit(work, SPEC, learner, folder / "archives", NOON + timedelta(hours=hours)).archive


def take(folder: Path, *archives: Path) -> list[str | None]:
    return [one.refused for one in collect(archives, SPEC, folder / "submitted", NOON + timedelta(hours=9))]


def note(folder: Path, learner: str = "ada") -> str:
    return (folder / "submitted" / learner / SLUG / "notes.md").read_text()


def test_what_is_collected_is_what_was_handed_in(tmp_path: Path) -> None:
    path = archive(tmp_path)
    [done] = collect([path], SPEC, tmp_path / "submitted", NOON)
    assert done.newest
    assert done.receipt
    assert digests(tmp_path, tmp_path / "staging") == {"ada": done.receipt.sha256}
    [kept] = (tmp_path / "submitted" / "ada" / ARCHIVES / SLUG).iterdir()
    assert kept.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_newest_counts_whatever_comes_first_and_all_are_kept(tmp_path: Path, order: list[int]) -> None:
    paths = [archive(tmp_path, hours=hours, note=f"after {hours}") for hours in range(3)]
    for number in order:
        assert take(tmp_path, paths[number]) == [None]
    assert note(tmp_path) == "after 2"
    kept = tmp_path / "submitted" / "ada" / ARCHIVES / SLUG
    assert sorted(path.read_bytes() for path in kept.iterdir()) == sorted(path.read_bytes() for path in paths)
    assert take(tmp_path, *paths) == [None] * 3
    assert len(list(kept.iterdir())) == 3


def test_a_folder_of_archives_is_taken_and_a_bad_one_stops_no_other(tmp_path: Path) -> None:
    archive(tmp_path, "ada")
    archive(tmp_path, "ben", note="ben's")
    (tmp_path / "archives" / "bad.zip").write_bytes(b"PK")
    refused = take(tmp_path, tmp_path / "archives", tmp_path / "nowhere.zip")
    assert sorted(map(bool, refused)) == [False, False, True, True]
    assert note(tmp_path, "ben") == "ben's"


def test_work_that_came_in_another_way_is_never_overwritten(tmp_path: Path) -> None:
    shutil.copytree(RELEASE, tmp_path / "submitted" / "ada" / SLUG)
    path = archive(tmp_path, note="new")
    assert "Move it away first" in str(take(tmp_path, path))
    shutil.rmtree(tmp_path / "submitted" / "ada" / SLUG)
    assert take(tmp_path, path) == [None]
    (tmp_path / "submitted" / "ada" / SLUG / "notes.md").write_text("changed by hand")
    assert "Move it away first" in str(take(tmp_path, archive(tmp_path, hours=1)))
    assert note(tmp_path) == "changed by hand"


def test_an_interruption_between_old_and_new_is_mended_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = archive(tmp_path, note="old"), archive(tmp_path, hours=1, note="new")
    assert take(tmp_path, first) == [None]
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", interrupted)
        take(tmp_path, second)
    assert take(tmp_path, first) == [None]
    assert note(tmp_path) == "new"
    assert {path.name for path in (tmp_path / "submitted" / "ada").iterdir()} == {ARCHIVES, SLUG}


def test_another_lab_and_a_time_to_come_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, hours=48)
    assert "yet to come" in str(take(tmp_path, path))
    other = SPEC.model_copy(update={"slug": "other-lab"})
    [done] = collect([path], other, tmp_path / "submitted", NOON + timedelta(hours=48))
    assert done.refused == "It is of the lab zero-trust, not other-lab."
    assert not (tmp_path / "submitted").exists()


def zipped(build: Build, receipt: bytes | None = None) -> bytes:
    """An archive with a receipt for `SMALL`, and what `build` adds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("receipt.json", Receipt.of(SMALL, "ada", SPEC, NOON).as_json() if receipt is None else receipt)
        build(made)
    return buffer.getvalue()


def whole(made: zipfile.ZipFile) -> None:
    for name, data in SMALL.files.items():
        made.writestr(f"work/{name}", data)


def plus(*names: str, data: bytes = b"x") -> Build:
    def build(made: zipfile.ZipFile) -> None:
        whole(made)
        for name in names:
            made.writestr(name, data)

    return build


def link(made: zipfile.ZipFile) -> None:
    whole(made)
    entry = zipfile.ZipInfo("work/link.py")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    made.writestr(entry, "/etc/shadow")


def lzma(made: zipfile.ZipFile) -> None:
    whole(made)
    made.writestr("work/c.py", b"x", zipfile.ZIP_LZMA)


def large(made: zipfile.ZipFile) -> None:
    for number in range(15):
        made.writestr(f"work/{number}.txt", b"\0" * (MAX_FILE_BYTES - 1))


def altered(made: zipfile.ZipFile) -> None:
    made.writestr("work/a.py", b"a = 2\n")
    made.writestr("work/policies/b.rego", b"package b\n")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (plus("work/../../b.py"), "leads elsewhere"),
        (plus("/etc/cron.d/b.py"), "does not belong"),
        (plus("work//etc/b.py"), "leads elsewhere"),
        (plus("work/..\\b.py"), "odd or overlong"),
        (plus("b.py"), "does not belong"),
        (plus("work/.profile.py"), "hidden"),
        (plus("work/b.so"), "no file that is handed in"),
        (plus("work/" + "a/" * 9 + "b.py"), "no file that is handed in"),
        (plus("work/b\u202ey.py"), "odd or overlong"),
        (plus("work/folder/"), "no plain file"),
        (plus("work/A.py"), "is in it twice"),
        (plus("work/c.py"), "not for these files: c.py"),
        (plus(*(f"work/{number}.py" for number in range(MAX_FILES))), f"more than {MAX_FILES} files"),
        (plus("work/b.txt", data=b"\0" * (200 << 20)), "larger than is ever handed in"),
        (large, "larger than is ever handed in"),
        (link, "no plain file"),
        (lzma, "packed in a way"),
        (altered, "not for these files: a.py"),
        (lambda made: made.writestr("work/a.py", b"a = 1\n"), "not for these files: policies/b.rego"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_that_climbs_links_swells_or_lies_is_refused(tmp_path: Path, build: Build, words: str) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(build))
    [refused] = take(tmp_path, path)
    assert words in str(refused)
    assert not (tmp_path / "submitted").exists()


def test_the_twin_of_those_archives_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(whole))
    assert take(tmp_path, path) == [None]
    assert read_folder(tmp_path / "submitted" / "ada" / SLUG).sha256 == SMALL.sha256


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sha256", "0" * 64, "digest is not that of its files"),
        ("learner", "../ada", "learner"),
        ("learner", "ada\n", "learner"),
        ("lab", "../zero-trust", "lab"),
        ("submitted_at", "0001-01-01T00:00:00+14:00", "submitted_at"),
        ("submitted_at", "2026-11-23T12:00:00", "timezone"),
        ("files", [], "not for these files"),
        ("more", 1, "more"),
    ],
)
def test_a_receipt_that_is_not_as_ours_is_refused(key: str, value: object, words: str) -> None:
    receipt = json.loads(Receipt.of(SMALL, "ada", SPEC, NOON).as_json()) | {key: value}
    with pytest.raises(ArchiveError, match=words):
        unpack(zipped(whole, json.dumps(receipt).encode()))


@pytest.mark.parametrize("receipt", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_no_receipt_is_refused(receipt: bytes) -> None:
    with pytest.raises(ArchiveError, match="receipt is damaged"):
        unpack(zipped(whole, receipt))


@pytest.mark.parametrize(
    "data", [b"", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18, b"x" * 100, zipped(whole) + b"more"]
)
def test_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(data)


GOOD = pack(Receipt.of(SMALL, "ada", SPEC, NOON), SMALL)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(GOOD)))
def test_a_damaged_archive_is_refused_or_still_what_it_was(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    for candidate in (bytes(data), bytes(data[:cut]), bytes(data[cut:])):
        try:
            receipt, contents = unpack(candidate)
        except ArchiveError:
            continue
        assert contents == SMALL
        assert receipt.sha256 == SMALL.sha256


def test_the_command_says_what_became_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive(tmp_path, "ada")
    (tmp_path / "archives" / "bad.zip").write_bytes(b"PK")
    app = typer.Typer()
    add_commands(app)
    words = [SLUG, str(tmp_path / "archives"), "--into", str(tmp_path / "submitted"), "--course", str(COURSE)]
    monkeypatch.setattr("sys.argv", ["mod209", "collect", *words])
    assert console.run(app) == 3
    shown = capsys.readouterr()
    assert "✓ ada" in shown.out
    assert "bad.zip: It is no zip archive." in shown.out
    assert "1 of 2 archives were refused: bad.zip" in shown.err
    monkeypatch.setattr("sys.argv", ["mod209", "collect", *words, "--json"])
    assert console.run(app) == 3
    assert [one["newest"] for one in json.loads(capsys.readouterr().out)] == [True, False]
