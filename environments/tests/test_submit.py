"""A learner's hand-in: what is refused, what is said, and that archive and receipt tell what was handed in."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments import console
from environments.cli import app
from environments.errors import BadInputError
from environments.handin.archive import pack, unpack
from environments.handin.folder import MAX_FILE_BYTES, SUFFIXES, Contents, FolderError, check_path, read_folder
from environments.handin.receipt import Receipt
from environments.handin.submit import submit
from environments.labspec import load_lab
from environments.params import derive, practice

COURSE = Path(__file__).parents[2]
LAB = "zero-trust"
SPEC = load_lab(COURSE, LAB)
FIRST = SPEC.tasks[0].notebook
NOON = datetime(2026, 11, 23, 12, 0, 0, 123, tzinfo=UTC)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle as a learner has unpacked it, without the software."""
    shutil.copytree(COURSE / "labs" / LAB, tmp_path / "course" / "labs" / LAB)
    monkeypatch.delenv("MOD209_COURSE", raising=False)
    monkeypatch.chdir(tmp_path / "course")
    return tmp_path / "course"


@pytest.fixture
def work(course: Path) -> Path:
    return course / "labs" / LAB / "notebooks"


def change(path: Path, cells: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cells": cells}))


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["mod209", "submit", LAB, *words])
    return console.run(app)


def with_params(course: Path, learner: str | None) -> None:
    params = derive(learner, b"a key for tests of hand-ins") if learner else practice()
    (course / "params.json").write_text(params.model_dump_json())


def test_archive_and_receipt_say_the_same(work: Path, tmp_path: Path) -> None:
    (work / "policies").mkdir()
    (work / "policies" / "admission.rego").write_text("package mod209.admission\n")
    done = submit(work, SPEC, "ada", tmp_path / "out", NOON)
    receipt, contents = unpack(done.archive.read_bytes())
    assert done.archive.name == "ada-zero-trust-20261123T120000Z.zip"
    assert receipt == done.receipt == Receipt.read(done.archive.with_suffix(".receipt.json").read_bytes())
    assert receipt.sha256 == contents.sha256 == read_folder(work).sha256
    assert [file.path for file in receipt.files] == sorted(
        [*(t.notebook for t in SPEC.tasks), "policies/admission.rego"]
    )
    assert (receipt.lab_version, receipt.submitted_at.isoformat()) == (SPEC.version, "2026-11-23T12:00:00+00:00")


def test_the_same_work_makes_the_same_bytes_and_nothing_is_written_over(work: Path, tmp_path: Path) -> None:
    first = submit(work, SPEC, "ada", tmp_path / "a", NOON).archive.read_bytes()
    assert submit(work, SPEC, "ada", tmp_path / "b", NOON).archive.read_bytes() == first
    with pytest.raises(BadInputError, match="is there already"):
        submit(work, SPEC, "ada", tmp_path / "a", NOON)


def test_tasks_that_look_unanswered_are_named_and_only_those(work: Path, tmp_path: Path) -> None:
    assert submit(work, SPEC, "ada", tmp_path, NOON).unanswered == tuple(task.id for task in SPEC.tasks)
    change(work / FIRST, [{"cell_type": "code", "metadata": {}, "source": ["answer = 'raise NotImplementedError'\n"]}])
    later = datetime(2026, 11, 23, 13, tzinfo=UTC)
    assert submit(work, SPEC, "ada", tmp_path, later).unanswered == tuple(task.id for task in SPEC.tasks[1:])


def test_every_notebook_that_is_missing_or_none_is_named_at_once(work: Path, tmp_path: Path) -> None:
    (work / FIRST).unlink()
    (work / SPEC.tasks[1].notebook).write_text('{"cells": [')
    (work / SPEC.tasks[2].notebook).write_text("[]")
    with pytest.raises(BadInputError) as refusal:
        submit(work, SPEC, "ada", tmp_path / "out", NOON)
    lines = refusal.value.message.splitlines()
    assert len(lines) == 3
    assert f"{FIRST} is missing" in lines[0]
    assert "is not valid JSON" in lines[1]
    assert "is not a Jupyter notebook" in lines[2]
    assert not (tmp_path / "out").exists()


def test_what_intake_would_refuse_is_refused_before(work: Path, tmp_path: Path) -> None:
    (work / "notes.txt").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(BadInputError, match=r"notes\.txt is larger than 2 MB"):
        submit(work, SPEC, "ada", tmp_path, NOON)
    (work / "notes.txt").unlink()
    (work / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(BadInputError, match=r"notes\.txt is a link"):
        submit(work, SPEC, "ada", tmp_path, NOON)
    with pytest.raises(BadInputError, match="Cannot read"):
        submit(tmp_path / "nowhere", SPEC, "ada", tmp_path, NOON)


def test_the_command_knows_the_learner_from_the_bundle(
    course: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_params(course, "ada")
    (course / "labs" / LAB / "notebooks" / "model.pkl").write_bytes(b"\x80")
    assert run(monkeypatch) == 0
    shown = capsys.readouterr()
    [archive] = (course / "handed-in").glob("*.zip")
    receipt, _ = unpack(archive.read_bytes())
    assert receipt.learner == "ada"
    assert str(archive) in shown.out
    assert receipt.sha256 in shown.out
    assert f"{SPEC.tasks[0].id} looks unanswered" in shown.err
    assert "model.pkl is left out" in shown.err
    assert run(monkeypatch, "--learner", "ben") == 3
    assert "those of ada, not of ben" in capsys.readouterr().err


def test_a_folder_of_the_learners_own_goes_before_the_labs(
    course: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(work, course / "work" / LAB)
    (course / "work" / LAB / "notes.md").write_text("mine")
    assert run(monkeypatch, "--learner", "ada", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert "notes.md" in [file["path"] for file in told["receipt"]["files"]]


@pytest.mark.parametrize("learner", [None, "practice"])
def test_who_has_no_parameters_of_their_own_says_who_they_are(
    course: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], learner: str | None
) -> None:
    if learner:
        with_params(course, None)
    assert run(monkeypatch) == 3
    assert "Nothing here says who you are" in capsys.readouterr().err
    assert run(monkeypatch, "--learner", "../ben") == 3
    capsys.readouterr()
    assert run(monkeypatch, "--learner", "ben", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["receipt"]["learner"] == "ben"
    assert Path(told["archive"]).is_file()


def test_damaged_parameters_are_said(
    course: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (course / "params.json").write_text('{"learner": "ada"}')
    assert run(monkeypatch) == 3
    assert "does not hold a learner's parameters" in " ".join(capsys.readouterr().err.split())


STEPS = st.sampled_from(["a", "b c", "d-e.f", "..", ".", ".g", "", "-h", "__pycache__", "i\n", "j:k", "l\\m"])
ENDS = st.sampled_from([*sorted(SUFFIXES), "", ".zip", ".PY", ".py "])


@given(st.lists(STEPS, min_size=1, max_size=10), ENDS)
def test_a_file_at_a_good_path_is_read(tmp_path_factory: pytest.TempPathFactory, steps: list[str], end: str) -> None:
    path = "/".join(steps) + end
    try:
        check_path(path)
    except FolderError:
        return
    room = tmp_path_factory.mktemp("room")
    (room / path).parent.mkdir(parents=True, exist_ok=True)
    (room / path).write_bytes(b"x")
    assert list(read_folder(room).files) == [path]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}\.(py|rego|md)", fullmatch=True), st.binary(max_size=200)
    )
)
def test_what_is_packed_is_what_is_unpacked(files: dict[str, bytes]) -> None:
    contents = Contents(files=dict(sorted(files.items())), left_out=())
    receipt = Receipt.of(contents, "ada", SPEC, NOON)
    data = pack(receipt, contents)
    assert unpack(data) == (receipt, contents)
    assert pack(receipt, contents) == data
