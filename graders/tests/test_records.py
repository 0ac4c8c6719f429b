"""Records: what holds for a second run and what does not, and a disk that is full at any moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from environments.errors import BadInputError, CageError, StorageError
from graders.batch import grade_batch, records_of
from graders.grading import Graded
from graders.probeset import fingerprint
from graders.records import Records
from graders.report import Extras
from graders.tests.batches import COURSE, SLUG, SPEC, TERM_KEY, Idle, digests, hand_in, order_of
from graders.verdicts import Asked, Outcome, SubmissionResult, SubmissionVerdict, conclude, judged

LEARNERS = ("ada", "ben")
ASKED = Asked(cloud="aws", request="a", expected="b", got="c", detail="d", why="e", ok=None)


class Unproven(Idle):
    """Ends a batch that has something to run."""

    def prove(self) -> None:
        raise CageError("something is to be run", hint="")


def result_of(learner: str, sha256: str | None, *outcomes: Outcome) -> SubmissionResult:
    """A result whose checks have these outcomes, and the rest the last of them."""
    ids = [check.id for check in SPEC.checks]
    padded = [*outcomes, *[outcomes[-1]] * (len(ids) - len(outcomes))]
    checks = [judged(SPEC, check, outcome) for check, outcome in zip(ids, padded, strict=True)]
    return conclude(SPEC, learner, sha256, checks)


def keep_all(folder: Path, **outcomes: Outcome) -> None:
    """Leave `folder` as a batch would that has graded everything."""
    state = records_of(order_of(folder), SPEC)
    for learner, sha256 in digests(folder, folder / "staging").items():
        result = result_of(learner, sha256, outcomes.get(learner, Outcome.PASSED))
        state.keep(Graded(result=result, extras=Extras(notes=("a note",), notebooks={"x.ipynb": bytes(range(256))})))


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A folder with submissions, all of which were graded."""
    for learner in LEARNERS:
        hand_in(tmp_path / "submitted", learner)
    keep_all(tmp_path)
    return tmp_path


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "records", "this grader")


def kept(records: Records, *outcomes: Outcome) -> Graded:
    graded = Graded(
        result=result_of("ada", "0" * 64, *outcomes),
        extras=Extras(
            notes=("a",), notebooks={"x.ipynb": b"\xff\0"}, asked={"ZT-1.1": (ASKED,)}, seconds={"cage": 1.5}
        ),
    )
    records.keep(graded)
    return graded


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.FAILED, Outcome.TAMPERED])
def test_a_record_comes_back_as_it_was_kept(records: Records, outcome: Outcome) -> None:
    graded = kept(records, outcome)
    assert records.find("ada", "0" * 64) == graded.result
    assert dict(records.extras({"ada"})) == {"ada": graded.extras}
    assert dict(records.extras(())) == {}


@pytest.mark.parametrize("outcomes", [(Outcome.NOT_GRADED,), (Outcome.PASSED, Outcome.NOT_GRADED)])
def test_what_a_fault_of_ours_left_open_is_tried_again(records: Records, outcomes: tuple[Outcome, ...]) -> None:
    kept(records, *outcomes)
    assert records.find("ada", "0" * 64) is None


def test_a_record_holds_for_its_learner_submission_and_grader_only(records: Records, tmp_path: Path) -> None:
    kept(records, Outcome.PASSED)
    shutil.copy(tmp_path / "records" / "ada.json", tmp_path / "records" / "ben.json")
    assert records.find("ben", "0" * 64) is None
    assert records.find("ada", "1" * 64) is None
    assert Records(tmp_path / "records", "another grader").find("ada", "0" * 64) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"/wA="', '"/wA"'),
        lambda text: text.replace('"passed"', '"failed"', 1),
        lambda text: text.replace('"earned":3', '"earned":300', 1),
        lambda text: "[" * 100_000,
    ],
)
def test_a_record_that_is_broken_or_edited_is_none(
    records: Records, tmp_path: Path, spoil: Callable[[str], str]
) -> None:
    kept(records, Outcome.PASSED)
    path = tmp_path / "records" / "ada.json"
    path.write_text(spoil(path.read_text()))
    assert records.find("ada", "0" * 64) is None


def test_a_full_batch_is_not_run_again_and_takes_under_3_seconds(done: Path) -> None:
    began = time.process_time()
    results = grade_batch(order_of(done), lambda _: None, Unproven())
    assert [one.score for one in results.submissions] == [SPEC.points] * 2
    assert time.process_time() - began < 3


def test_a_tampered_one_is_held_until_a_person_has_looked_and_not_run_again(done: Path) -> None:
    keep_all(done, ben=Outcome.TAMPERED)
    results = grade_batch(order_of(done), lambda _: None, Unproven())
    assert [one.score for one in results.submissions] == [SPEC.points, 0]


def change_term(done: Path, course: Path) -> bytes:
    return b"the next term's key is another one"


def change_submission(done: Path, course: Path) -> bytes:
    (done / "submitted" / "ben" / SLUG / "notes.md").write_text("Another word.")
    return TERM_KEY


def change_probe(done: Path, course: Path) -> bytes:
    path = course / "solutions" / SLUG / "probes" / "zt-1.yaml"
    path.write_text(path.read_text() + "# another word\n")
    return TERM_KEY


def change_points(done: Path, course: Path) -> bytes:
    path = course / "labs" / SLUG / "lab.yaml"
    path.write_text(path.read_text().replace("points: 3", "points: 4", 1))
    return TERM_KEY


@pytest.mark.parametrize("change", [change_term, change_submission, change_probe, change_points])
def test_a_changed_term_submission_probe_or_lab_is_graded_again(
    done: Path, change: Callable[[Path, Path], bytes]
) -> None:
    course = done / "course"
    for part in ("labs", "solutions"):
        shutil.copytree(COURSE / part, course / part)
    grade_batch(order_of(done, course=course), lambda _: None, Unproven())
    with pytest.raises(CageError, match="something is to be run"):
        grade_batch(order_of(done, course=course, term_key=change(done, course)), lambda _: None, Unproven())


def test_a_changed_check_changes_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "graders"
    shutil.copytree(COURSE / "graders", package, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    monkeypatch.setattr("graders.probeset.__file__", str(package / "probeset.py"))
    before = fingerprint(COURSE, SPEC, TERM_KEY)
    assert before == fingerprint(COURSE, SPEC, TERM_KEY)
    check = package / "checks" / SLUG / "check_zt_1.py"
    check.write_text(check.read_text() + "\n# another word\n")
    assert before != fingerprint(COURSE, SPEC, TERM_KEY)


def test_what_a_killed_batch_left_of_a_file_is_removed(done: Path) -> None:
    for name in ("out/.results.json.abc.part", "out/records/.ada.json.abc.part"):
        (done / name).write_text("{")
    grade_batch(order_of(done), lambda _: None, Unproven())
    assert list((done / "out").rglob("*.part")) == []


def test_two_batches_never_write_to_one_folder(done: Path) -> None:
    def meanwhile(step: str) -> None:
        with pytest.raises(BadInputError, match="Another batch writes to"):
            grade_batch(order_of(done), lambda _: None, Unproven())

    grade_batch(order_of(done), meanwhile, Unproven())
    grade_batch(order_of(done), lambda _: None, Unproven())


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own at `folder`; gives a function that makes it larger."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield lambda more: _remount(folder, more)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _remount(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@needs_root
def test_a_full_disk_keeps_the_old_record(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k"):
        records = Records(tmp_path / "disk" / "records", "this grader")
        graded = kept(records, Outcome.PASSED)
        large = Graded(result=graded.result, extras=Extras(notebooks={"x.ipynb": bytes(1 << 20)}))
        with pytest.raises(StorageError, match="No space left"):
            records.keep(large)
        assert records.find("ada", "0" * 64) == graded.result
        assert len(list((tmp_path / "disk" / "records").iterdir())) == 1


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("room", range(0, 321, 64))
def test_a_disk_full_while_reports_are_written_ends_in_a_sentence_and_the_next_run_carries_on(
    done: Path, room: int
) -> None:
    sizes = [path.stat().st_size for path in (done / "out" / "records").iterdir()]
    used = sum(-(-size // 4096) * 4 for size in sizes) + 8
    shutil.move(done / "out", done / "kept")
    with small_disk(done / "out", f"{used + room}k") as grow:
        shutil.copytree(done / "kept" / "records", done / "out" / "records")
        with pytest.raises(StorageError) as caught:
            grade_batch(order_of(done), lambda _: None, Unproven())
        assert (caught.value.exit_code, caught.value.message.count("\n")) == (10, 0)
        assert not (done / "out" / "results.json").exists()
        assert {path.name for path in (done / "out" / "records").iterdir()} == {f"{one}.json" for one in LEARNERS}
        grow("64m")
        assert grade_batch(order_of(done), lambda _: None, Unproven()).final
        assert (done / "out" / "results.json").stat().st_size > 1000


@needs_root
@pytest.mark.slow
def test_the_command_ends_with_10_and_one_sentence_when_the_disk_is_full(done: Path) -> None:
    key = done / "term.key"
    key.write_bytes(TERM_KEY)
    key.chmod(0o600)
    shutil.rmtree(done / "out")
    with small_disk(done / "out", "32k"):
        shutil.rmtree(done / "submitted" / "ben")
        (done / "submitted" / "ben" / SLUG).mkdir(parents=True)
        shutil.rmtree(done / "submitted" / "ada")
        (done / "submitted" / "ada" / SLUG).mkdir(parents=True)  # both are refused: nothing is to be run
        argv = ["grade", SLUG, str(done / "submitted"), "--out", str(done / "out"), "--term-key", str(key)]
        ended = subprocess.run(
            [sys.executable, "-m", "assessment", *argv],
            cwd=COURSE,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 10, ended.stderr
    assert ended.stderr.count("error:") == ended.stderr.count("hint:") == 1
    assert "Traceback" not in ended.stderr


def test_refused_ones_are_looked_at_every_time(tmp_path: Path) -> None:
    (tmp_path / "submitted" / "ada" / SLUG).mkdir(parents=True)
    for _ in range(2):
        results = grade_batch(order_of(tmp_path), lambda _: None, Unproven())
        (refused,) = results.submissions
        assert (refused.verdict, refused.score) == (SubmissionVerdict.NOT_GRADED, None)
        assert "is missing" in (refused.error or "")
    assert not (tmp_path / "out" / "records").exists()
