"""A whole batch on real servers and in real cages: right, partly right, hostile, greedy and refused submissions together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from environments.params import token
from environments.platform import platform
from environments.tests.tier import THOROUGH
from graders.batch import grade_batch
from graders.cage import BubblewrapCage, Job, Limits, Outcome
from graders.probeset import load_all, seed
from graders.tests.batches import COURSE, NOTEBOOKS, RELEASE, SLUG, SPEC, TERM_KEY, hand_in, order_of
from graders.verdicts import Results, SubmissionResult, SubmissionVerdict, read_results

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1200)]
HOG = "hog = bytearray(b'x') * (4 << 30)"
LIMITS = Limits(cell_seconds=20, processes=48, cpu_seconds=90, wall_seconds=150)
GRADED = ("right", "partly", "hostile", *(["endless"] if THOROUGH else []))
REFUSED = {
    "absent": "zt-2-least-privilege-secrets.ipynb is missing",
    "garbage": "is not valid JSON",
    "link": "is a link",
    "sparse": "is larger than 2 MB",
    "strange": "has none of the lab's cells",
}


@dataclass(frozen=True, kw_only=True)
class Batch:
    folder: Path
    results: Results

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def of(self, learner: str) -> SubmissionResult:
        return next(one for one in self.results.submissions if one.learner == learner)

    def page(self, learner: str) -> str:
        return (self.out / "feedback" / f"{learner}.html").read_text()


@pytest.fixture(scope="session")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    folder = tmp_path_factory.mktemp("batch")
    submitted = folder / "submitted"
    hand_in(submitted, "right")
    hand_in(submitted, "partly", "zt-3-tags")
    hand_in(submitted, "hostile", "vault-takeover")
    if THOROUGH:
        hand_in(submitted, "endless", cells={"zt-2-apply": HOG, "zt-3-apply": "while True:\n    pass"})
    _hand_in_refused(submitted)
    results = grade_batch(order_of(folder, limits=LIMITS, workers=2), lambda _: None)
    return Batch(folder=folder, results=results)


def _hand_in_refused(submitted: Path) -> None:
    folders = {learner: submitted / learner / SLUG for learner in REFUSED}
    for folder in folders.values():
        shutil.copytree(RELEASE, folder)
    (folders["absent"] / NOTEBOOKS[1]).unlink()
    (folders["garbage"] / NOTEBOOKS[0]).write_text("{")
    (folders["link"] / "notes.txt").symlink_to("/etc/shadow")
    with (folders["sparse"] / "data.json").open("wb") as stream:
        stream.truncate(1 << 30)
    (folders["strange"] / NOTEBOOKS[2]).write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4}))


def points(result: SubmissionResult, task: str) -> int:
    return sum(check.earned or 0 for check in result.of_task(task))


def test_a_right_submission_gets_full_marks_beside_all_the_others(batch: Batch) -> None:
    right = batch.of("right")
    assert [(check.id, check.message) for check in right.checks if check.earned != check.points] == []
    assert (right.verdict, right.score, right.error) == (SubmissionVerdict.GRADED, SPEC.points, None)


def test_a_partly_right_one_loses_what_it_lacks_and_no_more(batch: Batch) -> None:
    partly = batch.of("partly")
    assert [check.id for check in partly.checks if check.earned == 0] == ["ZT-3.2"]
    assert partly.score == SPEC.points - 2


def test_a_hostile_one_is_held_at_nothing(batch: Batch) -> None:
    hostile = batch.of("hostile")
    assert (hostile.verdict, hostile.score, hostile.final) == (SubmissionVerdict.TAMPERED, 0, False)
    assert "vault" in (hostile.error or "")


@pytest.mark.thorough
def test_a_cell_without_end_and_a_memory_hog_cost_their_own_tasks_only(batch: Batch) -> None:
    endless = batch.of("endless")
    assert endless.verdict is SubmissionVerdict.GRADED
    assert points(endless, "ZT-1") == 15
    assert points(endless, "ZT-2") < 12
    assert points(endless, "ZT-3") < 20
    assert points(endless, "ZT-6") == sum(check.points for check in SPEC.task("ZT-6").checks)
    assert "processes killed for want of memory" in batch.page("endless")


@pytest.mark.parametrize("learner", REFUSED)
def test_a_submission_that_cannot_run_is_refused_with_a_sentence_and_costs_nothing(batch: Batch, learner: str) -> None:
    refused = batch.of(learner)
    assert (refused.verdict, refused.score) == (SubmissionVerdict.NOT_GRADED, None)
    assert REFUSED[learner] in (refused.error or "")
    assert (refused.error or "").count("\n") == 0


def test_results_json_is_as_the_contract_says(batch: Batch) -> None:
    document: dict[str, Any] = json.loads((batch.out / "results.json").read_text())
    assert list(document) == ["schema", "lab", "provider", "submissions"]
    assert (document["schema"], document["lab"], document["provider"]) == (1, SLUG, "local")
    learners = [one["learner"] for one in document["submissions"]]
    assert learners == sorted([*GRADED, *REFUSED])
    for one in document["submissions"]:
        assert list(one) == ["learner", "sha256", "verdict", "score", "max_score", "error", "checks"]
        assert [check["id"] for check in one["checks"]] == [check.id for check in SPEC.checks]
        assert {tuple(check) for check in one["checks"]} == {
            ("id", "task", "points", "earned", "outcome", "message", "seconds", "failed_on")
        }
    assert read_results(batch.out / "results.json") == batch.results
    assert not batch.results.final


def test_everybody_has_a_page_that_says_the_verdict(batch: Batch) -> None:
    overview = (batch.out / "index.html").read_text()
    words = {"graded": "Graded", "not_graded": "Not graded", "tampered": "Tampered"}
    for one in batch.results.submissions:
        assert one.learner in overview
        assert words[one.verdict] in batch.page(one.learner)


def test_junit_counts_what_was_found(batch: Batch) -> None:
    suites = {suite.get("name"): suite for suite in ET.parse(batch.out / "junit.xml").getroot()}
    assert set(suites) == {one.learner for one in batch.results.submissions}
    assert (suites["right"].get("failures"), suites["partly"].get("failures")) == ("0", "1")
    assert suites["hostile"].get("errors") == suites["absent"].get("skipped") == str(len(SPEC.checks))


def test_the_gradebook_has_the_scores_of_those_that_were_graded(batch: Batch) -> None:
    asked = (
        "from nbgrader.api import Gradebook; import json, sys\n"
        "with Gradebook(sys.argv[1], 'default_course') as book:\n"
        " print(json.dumps({one.student.id: one.score for one in book.assignment_submissions('zero-trust')}))"
    )
    url = f"sqlite:///{batch.out / 'gradebook.db'}"
    done = subprocess.run([sys.executable, "-c", asked, url], capture_output=True, text=True, check=True, timeout=60)
    scores = json.loads(done.stdout)
    assert (scores["right"], scores["partly"], scores["hostile"]) == (SPEC.points, SPEC.points - 2, 0)


def test_no_part_of_a_file_is_left(batch: Batch) -> None:
    assert list(batch.out.rglob("*.part")) == []


class Counted(BubblewrapCage):
    """A real cage that remembers how many submissions it ran."""

    def __init__(self) -> None:
        self.ran = 0

    def run(self, job: Job) -> Outcome:
        self.ran += 1
        return super().run(job)


@pytest.fixture
def again(batch: Batch, tmp_path: Path) -> Iterator[Path]:
    """A copy of the batch, to be graded again."""
    shutil.copytree(batch.folder, tmp_path / "again", symlinks=True)
    yield tmp_path / "again"
    shutil.rmtree(tmp_path / "again")


def test_a_second_run_starts_nothing_and_says_the_same(batch: Batch, again: Path) -> None:
    steps: list[str] = []
    results = grade_batch(order_of(again, limits=LIMITS), steps.append)
    assert steps == ["writing reports"]
    assert results == batch.results


def test_a_changed_submission_alone_is_graded_again(batch: Batch, again: Path) -> None:
    shutil.rmtree(again / "submitted" / "partly")
    hand_in(again / "submitted", "partly")
    steps: list[str] = []
    cage = Counted()
    results = grade_batch(order_of(again, limits=LIMITS), steps.append, cage)
    assert cage.ran == 1
    assert "partly (1 of 1)" in steps
    changed = [
        new.learner for new, old in zip(results.submissions, batch.results.submissions, strict=True) if new != old
    ]
    assert changed == ["partly"]
    assert next(one for one in results.submissions if one.learner == "partly").score == SPEC.points


def test_no_hidden_request_is_in_what_people_get_to_read(batch: Batch) -> None:
    hidden = [probe for probe in load_all(COURSE, SPEC) if not probe.visible]
    secrets: set[bytes] = set()
    for learner in GRADED:
        drawn = seed(TERM_KEY, learner)
        for word, digits in (("digest", 64), ("nonce", 8)):
            secrets |= {
                token(drawn, word, probe.id, cloud, workload.role, length=digits).encode()
                for probe in hidden
                for cloud in platform().clouds
                for workload in platform().workloads
            }
    assert len(secrets) > 1000
    for path in _readable(batch.out):
        data = path.read_bytes()
        assert not secrets & set(re.findall(rb"\b(?:[0-9a-f]{64}|[0-9a-f]{8})\b", data)), path


def test_no_credential_is_in_what_people_get_to_read(batch: Batch) -> None:
    for path in _readable(batch.out):
        data = path.read_bytes()
        assert not re.search(rb"\bhv[sbr]\.[A-Za-z0-9_-]{20,}|PRIVATE KEY|\beyJ[A-Za-z0-9_-]{20,}\.eyJ", data), path
        assert TERM_KEY not in data
        assert TERM_KEY.hex().encode() not in data


def test_no_question_or_answer_of_ours_is_in_what_learners_get(batch: Batch) -> None:
    labs = list(_readable(COURSE / "labs"))
    public = b"".join(path.read_bytes() for path in labs)
    hidden = {line for line in _hidden_texts() if line.encode() not in public}
    assert len(hidden) > 20
    # What a learner's own cells hold is theirs to keep; `autograded` and the records are copies of what they handed in.
    for path in (*_readable(batch.out / "feedback"), *(batch.out / name for name in ("results.json", "junit.xml"))):
        text = path.read_text()
        assert [line for line in hidden if line in text] == [], path
    for solution in _solution_texts():
        assert solution.encode() not in public, solution


def _readable(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _hidden_texts() -> Iterator[str]:
    for path in (COURSE / "solutions" / SLUG / "probes").glob("*.yaml"):
        for probe in yaml.safe_load(path.read_text())["probes"]:
            yield probe["why"]
            yield from ([probe["id"]] if len(probe["id"]) > 12 else [])


def _solution_texts() -> Iterator[str]:
    """Lines that only a solution has: long ones between nbgrader's marks, not also outside of them."""
    inside: set[str] = set()
    outside: set[str] = set()
    for name in NOTEBOOKS:
        document = json.loads((COURSE / "solutions" / SLUG / "notebooks" / name).read_text())
        for cell in document["cells"]:
            text = "".join(cell["source"])
            answers = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", text, re.DOTALL)
            inside |= {line.strip() for answer in answers for line in answer.splitlines() if len(line.strip()) > 50}
            outside.add(re.sub(r"### BEGIN SOLUTION\n.*?### END SOLUTION", "", text, flags=re.DOTALL))
    found = {line for line in inside if not any(line in text for text in outside)}
    assert len(found) > 10
    yield from sorted(found)
