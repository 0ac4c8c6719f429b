"""The hostile corpus on every cage: one batch of the cases for it, and for each what must come of it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from environments.handin.untrusted import one_line
from environments.tests.tier import THOROUGH, some
from graders.batch import grade_batch
from graders.cage import Limits
from graders.tests import small
from graders.tests.cage_jobs import CAGES, eventually
from graders.tests.hostile.canaries import Canaries, watching
from graders.tests.hostile.corpus import GUARD, Case, hand_in, load_cases, notebook, stamp
from graders.verdicts import Outcome, Results, SubmissionResult, SubmissionVerdict

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]
CASES = load_cases()


def _some(cages: str, every: int, first: int = 0) -> list[Case]:
    chosen = []
    for kind in ("hostile", "innocent"):
        cases = [case for case in CASES if (case.cages, case.kind) == (cages, kind)]
        names = some(list(dict.fromkeys(map(_act, cases))), every, first)
        chosen += [case for case in cases if _act(case) in names]
    return chosen


def _act(case: Case) -> str:
    """The name of a case without its part: in `note-for-others-a` somebody leaves what `-b` looks for."""
    return case.name.removesuffix("-a").removesuffix("-b")


# Each day every case in which a cage has a say is tried on one of them, and of the others one in three, on the first cage.
CASES_ON = {cage.id: _some("each", len(CAGES), number) for number, cage in enumerate(CAGES)}
FIRST = CAGES[0]
CASES_ON[FIRST.id] += _some("one", 3)
# Hostile and innocent cases, in a thorough run or a daily one, on the first cage or on a further one.
AT_LEAST = {(True, True): (70, 8), (True, False): (25, 5), (False, True): (30, 4), (False, False): (15, 3)}
LIMITS = Limits(
    memory_bytes=400 << 20,
    processes=64,
    cpu_seconds=25,
    wall_seconds=40,
    cell_seconds=6,
    file_bytes=32 << 20,
    output_bytes=8 << 20,
)
MARKUP = re.compile(r"<script>alert|<img src=x|[\x1b\u202e\ud800]")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A cage's cases, graded together; `before` is what stood in the folders that nobody may change."""

    cage: str
    cases: list[Case]
    folder: Path
    results: Results
    canaries: Canaries
    left: list[str]
    before: dict[str, tuple[int, int]]

    def of(self, case: Case) -> SubmissionResult:
        name = repr(one_line(case.learner, 80)) if case.learner else case.name
        return next(one for one in self.results.submissions if one.learner == name)

    def page(self, case: Case) -> str:
        path = self.folder / "out" / "feedback" / f"{case.name}.html"
        return path.read_text() if path.is_file() else ""


@pytest.fixture(scope="module", params=CAGES)
def batch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    folder = tmp_path_factory.mktemp("hostile")
    course = small.small_course(folder / "course")
    cases = CASES_ON[request.param.name]
    with watching(folder) as canaries:
        for case in cases:
            hand_in(case, folder / "submitted", canaries)
        before = stamp(folder / "course") | stamp(folder / "submitted")
        order = small.order_of(
            course, folder, term_key=canaries.secret.encode(), limits=LIMITS, cage=request.param.name, workers=2
        )
        results = grade_batch(order, lambda _: None)
        yield Batch(
            cage=request.param.name,
            cases=cases,
            folder=folder,
            results=results,
            canaries=canaries,
            left=canaries.processes(),
            before=before,
        )


def problems(case: Case, batch: Batch) -> list[str]:
    """What came of a case that must not have: nothing, if it was blocked, or accepted if it is innocent."""
    result, expected, page = batch.of(case), case.expected, batch.page(case)
    shown = html.unescape(page)
    said = [] if result.verdict is expected.verdict else [f"verdict {result.verdict}: {result.error}"]
    said += _marks(case, result)
    said += [f"error without {word!r}: {result.error}" for word in expected.error if word not in (result.error or "")]
    said += [f"page without {word!r}" for word in expected.page if word not in shown and word not in page]
    said += re.findall(r"attempt [^\n]*GOT THROUGH[^\n]*", shown)
    stopped = len(re.findall(r"attempt [^\n]*: stopped", shown))
    said += [] if stopped >= expected.attempts else [f"{stopped} attempts stopped, not {expected.attempts}"]
    said += [f"acts in a browser or terminal: {found!r}" for found in MARKUP.findall(page)]
    return said


def _marks(case: Case, result: SubmissionResult) -> list[str]:
    if result.verdict is not SubmissionVerdict.GRADED:
        wanted = 0 if result.verdict is SubmissionVerdict.TAMPERED else None
        return [] if result.score == wanted else [f"score {result.score}"]
    failing = [check.id for check in result.checks if check.outcome is Outcome.FAILED]
    return [] if failing == case.expected.failing else [f"failing {failing}"]


def test_every_case_is_blocked_and_nobody_innocent_is_punished(
    batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {case.name: found for case in batch.cases if (found := problems(case, batch))}
    tried = Counter(case.kind for case in batch.cases)
    well = Counter(case.kind for case in batch.cases if case.name not in wrong)
    told = f"blocked {well['hostile']}/{tried['hostile']}, innocent: accepted {well['innocent']}/{tried['innocent']}"
    with capsys.disabled():
        print(f"\nhostile: {told} ({batch.cage})")
    assert wrong == {}
    hostile, innocent = AT_LEAST[THOROUGH, batch.cage == FIRST.id]
    assert tried["hostile"] >= hostile
    assert tried["innocent"] >= innocent


def test_nobody_came_to_a_port_or_socket_of_the_host(batch: Batch) -> None:
    assert batch.canaries.visits == []


def test_nothing_was_written_outside(batch: Batch) -> None:
    assert batch.canaries.files_outside() == []
    assert stamp(batch.folder / "course") | stamp(batch.folder / "submitted") == batch.before


def test_nothing_is_left_running(batch: Batch) -> None:
    assert batch.left == []


def test_no_secret_of_ours_is_in_anything_that_came_of_it(batch: Batch) -> None:
    for path in (path for path in (batch.folder / "out").rglob("*") if path.is_file()):
        assert batch.canaries.secret.encode() not in path.read_bytes(), path
    for path in (batch.folder / "out" / "records").glob("*.json"):
        for encoded in re.findall(r'"([A-Za-z0-9+/]{100,}={0,2})"', path.read_text()):
            assert batch.canaries.secret.encode() not in base64.b64decode(encoded), path


def test_the_gradebook_has_everybodys_own_score(batch: Batch) -> None:
    asked = (
        "from nbgrader.api import Gradebook; import json, sys\n"
        "with Gradebook(sys.argv[1], 'default_course') as book:\n"
        " print(json.dumps({one.student.id: one.score for one in book.assignment_submissions('zero-trust')}))"
    )
    url = f"sqlite:///{batch.folder / 'out' / 'gradebook.db'}"
    done = subprocess.run([sys.executable, "-c", asked, url], capture_output=True, text=True, check=True, timeout=60)
    ours = {one.learner: one.score for one in batch.results.submissions if one.score is not None}
    assert {learner: score for learner, score in json.loads(done.stdout).items() if learner in ours} == ours


def test_canaries_move_when_they_are_touched(tmp_path: Path) -> None:
    """A canary that cannot move proves nothing."""
    with watching(tmp_path) as canaries:
        with socket.create_connection(("127.0.0.1", canaries.tcp)), socket.socket(socket.AF_UNIX) as client:
            client.connect(canaries.abstract)
        with subprocess.Popen(["/bin/sh", "-c", f"read line # {canaries.process}"], stdin=subprocess.PIPE) as left:
            assert eventually(lambda: len(canaries.processes()) == 1)
            left.communicate()
        before = stamp(tmp_path)
        (tmp_path / "secret.txt").write_text("changed")
        assert stamp(tmp_path) != before
        assert canaries.secret in os.environ.values()
    assert sorted(canaries.visits) == ["abstract socket", "tcp"]
    assert canaries.processes() == []


def test_a_hostile_cell_does_nothing_outside_of_a_cage(tmp_path: Path) -> None:
    cells = (cell for case in CASES if case.kind == "hostile" for cell in notebook(case)["cells"])
    own = [cell["source"] for cell in cells if not cell["metadata"]]
    assert len(own) > 100
    assert all(source.startswith(GUARD) for source in own)
    argv = [sys.executable, "-c", f"{GUARD}open('done', 'w')"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (1, "only in a cage\n", [])
