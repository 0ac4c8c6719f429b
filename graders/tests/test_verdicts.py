"""Laws of verdicts, and results.json as a file."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from environments.errors import BadInputError, StorageError
from environments.labspec import LabSpec, load_lab
from environments.storage import write_whole
from graders.verdicts import (
    CheckVerdict,
    Outcome,
    Results,
    SubmissionVerdict,
    all_alike,
    conclude,
    judged,
    read_results,
    write_results,
)

SPEC = load_lab(Path(__file__).parents[2], "zero-trust")
IDS = [check.id for check in SPEC.checks]
OUTCOMES = st.fixed_dictionaries({check: st.sampled_from(Outcome) for check in IDS})
HONEST = st.fixed_dictionaries(
    {check: st.sampled_from([o for o in Outcome if o is not Outcome.TAMPERED]) for check in IDS}
)


def verdicts(outcomes: dict[str, Outcome]) -> list[CheckVerdict]:
    return [judged(SPEC, check, outcome, "why") for check, outcome in outcomes.items()]


@given(OUTCOMES, st.permutations(IDS))
def test_order_of_verdicts_does_not_matter(outcomes: dict[str, Outcome], order: list[str]) -> None:
    shuffled = verdicts({check: outcomes[check] for check in order})
    assert conclude(SPEC, "ann", None, shuffled) == conclude(SPEC, "ann", None, verdicts(outcomes))


@given(OUTCOMES)
def test_maximum_never_changes_and_score_is_what_the_checks_earned(outcomes: dict[str, Outcome]) -> None:
    result = conclude(SPEC, "ann", None, verdicts(outcomes))
    assert result.max_score == SPEC.points
    assert [check.id for check in result.checks] == IDS
    earned = [check.earned for check in result.checks if check.earned is not None]
    assert result.score == (sum(earned) if earned else None)


@given(OUTCOMES, st.sampled_from(IDS))
def test_one_tampered_check_condemns_the_submission(outcomes: dict[str, Outcome], check: str) -> None:
    result = conclude(SPEC, "ann", None, verdicts(outcomes | {check: Outcome.TAMPERED}))
    assert (result.verdict, result.score, result.final) == (SubmissionVerdict.TAMPERED, 0, False)


@given(HONEST)
def test_verdict_says_how_much_was_graded(outcomes: dict[str, Outcome]) -> None:
    result = conclude(SPEC, "ann", None, verdicts(outcomes))
    skipped = sum(outcome is Outcome.NOT_GRADED for outcome in outcomes.values())
    assert all((check.earned is None) == (check.outcome is Outcome.NOT_GRADED) for check in result.checks)
    expected = {0: SubmissionVerdict.GRADED, len(IDS): SubmissionVerdict.NOT_GRADED}
    assert result.verdict is expected.get(skipped, SubmissionVerdict.PARTLY_GRADED)


@given(HONEST, st.sampled_from(IDS))
def test_a_check_that_passes_instead_never_lowers_the_score(outcomes: dict[str, Outcome], check: str) -> None:
    before = conclude(SPEC, "ann", None, verdicts(outcomes)).score or 0
    after = conclude(SPEC, "ann", None, verdicts(outcomes | {check: Outcome.PASSED})).score
    assert after is not None
    assert after >= before


def test_missing_verdict_is_not_graded_never_passed(zt_spec: LabSpec) -> None:
    result = conclude(zt_spec, "ann", None, [judged(zt_spec, check, Outcome.PASSED) for check in IDS[1:]])
    assert result.checks[0].outcome is Outcome.NOT_GRADED
    assert "no verdict" in result.checks[0].message
    assert result.verdict is SubmissionVerdict.PARTLY_GRADED


def test_unknown_and_double_verdicts_are_refused(zt_spec: LabSpec) -> None:
    one = judged(zt_spec, IDS[0], Outcome.PASSED)
    with pytest.raises(ValueError, match="do not fit"):
        conclude(zt_spec, "ann", None, [one, one])
    with pytest.raises(ValueError, match="do not fit"):
        conclude(zt_spec, "ann", None, [one.model_copy(update={"id": "ZT-9.9"})])
    with pytest.raises(ValueError, match="no check ZT-9"):
        judged(zt_spec, "ZT-9.9", Outcome.PASSED)


def test_check_cannot_earn_against_its_outcome() -> None:
    with pytest.raises(ValidationError, match="cannot earn 3"):
        CheckVerdict(id="ZT-1.1", task="ZT-1", points=3, earned=3, outcome=Outcome.FAILED, message="", seconds=0)


def test_results_file_has_the_contract_s_shape_and_reads_back(tmp_path: Path, zt_spec: LabSpec) -> None:
    evil = all_alike(zt_spec, "eve", None, Outcome.NOT_GRADED, "evil \ud800 \x1b[31mred\x1b[0m \u202e end")
    results = Results(lab="zero-trust", provider="local", submissions=[evil])
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results
    data = json.loads((tmp_path / "results.json").read_text())
    assert list(data) == ["schema", "lab", "provider", "submissions"]
    submission = data["submissions"][0]
    assert list(submission) == ["learner", "sha256", "verdict", "score", "max_score", "error", "checks"]
    keys = ["id", "task", "points", "earned", "outcome", "message", "seconds", "failed_on"]
    assert list(submission["checks"][0]) == keys
    assert (submission["score"], submission["max_score"], submission["verdict"]) == (None, zt_spec.points, "not_graded")
    assert submission["error"] == "evil \ufffd red \ufffd end"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"verdict": "graded"}, "do not follow"),
        ({"score": 42}, "do not follow"),
        ({"max_score": 1}, "not the points"),
        ({"extra": 1}, "Extra inputs"),
    ],
)
def test_results_that_contradict_themselves_are_refused(
    tmp_path: Path, zt_spec: LabSpec, change: dict[str, object], problem: str
) -> None:
    evil = all_alike(zt_spec, "eve", None, Outcome.NOT_GRADED, "no")
    data = Results(lab="zero-trust", provider="local", submissions=[evil]).model_dump(by_alias=True)
    data["submissions"][0] |= change
    (tmp_path / "results.json").write_text(json.dumps(data))
    with pytest.raises(BadInputError, match=problem):
        read_results(tmp_path / "results.json")


def test_full_disk_keeps_the_old_results(tmp_path: Path, zt_spec: LabSpec) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")
    big = all_alike(zt_spec, "eve", None, Outcome.NOT_GRADED, "x" * 2000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(StorageError, match="Cannot write"):
            write_results(path, Results(lab="zero-trust", provider="local", submissions=[big]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_folder_in_the_way_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="taken"):
        write_whole(tmp_path / "taken", b"data")
