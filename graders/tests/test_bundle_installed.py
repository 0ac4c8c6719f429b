"""A learner's whole way, from the bundle alone: a new environment, an empty folder, the lab, the hand-in; then the grade."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from environments.params import derive
from environments.paths import cache_dir
from graders.batch import grade_batch
from graders.bundle.command import write_bundles
from graders.bundle.contents import common
from graders.collect import collect
from graders.intake import take_in
from graders.tests.batches import COURSE, NOTEBOOKS, RELEASE, SLUG, SPEC, TERM_KEY, hand_in, order_of

LEARNER = "ada"
# What would show a learner's commands this copy of the course or this environment.
_OURS = ("MOD209_", "PYTHON", "VIRTUAL_ENV", "JUPYTER")

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(1200)]


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A learner's machine: the folder that the bundle became, and an environment with nothing else in it."""

    course: Path
    env: dict[str, str]

    def run(self, *words: str, cwd: Path | None = None, code: int = 0) -> str:
        """Run a command of the new environment; its standard output."""
        program = str(self.course / ".venv" / "bin" / words[0])
        done = subprocess.run(
            [program, *words[1:]],
            cwd=cwd or self.course,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learner]:
    room = tmp_path_factory.mktemp("learner")
    [archive] = write_bundles(common(COURSE, SLUG), [derive(LEARNER, TERM_KEY)], room / "out")
    with tarfile.open(archive) as opened:
        opened.extractall(room, filter="data")
    course = room / f"{SLUG}-{LEARNER}"
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    env |= {"HOME": str(room / "home"), "MOD209_CACHE": str(cache_dir()), "MOD209_STATE": str(room / "state")}
    env["PATH"] = f"{course / '.venv' / 'bin'}:/usr/bin:/bin"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=course, check=True, timeout=60)
    subprocess.run([sys.executable, "-m", "venv", course / ".venv"], check=True, timeout=120)
    one = Learner(course=course, env=env)
    one.run("pip", "install", "--quiet", "--require-hashes", "-r", "requirements.txt")
    try:
        yield one
    finally:
        one.run("mod209", "down", SLUG)


def test_nothing_of_ours_but_environments_is_installed(learner: Learner) -> None:
    learner.run("pip", "check")
    script = "import importlib.util as u, environments; print(environments.__file__, [n for n in ('graders', 'assessment', 'nbgrader') if u.find_spec(n)])"
    where, rest = learner.run("python", "-P", "-c", script, cwd=Path("/")).strip().split(" ", 1)
    assert Path(where).is_relative_to(learner.course / ".venv")
    assert rest == "[]"


@pytest.fixture(scope="module")
def submitted(learner: Learner, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What came of it at the instructor's: the folder of submissions, and what the learner was told when handing in."""
    folder = tmp_path_factory.mktemp("instructor")
    ready = json.loads(learner.run("mod209", "up", SLUG, "--json"))
    assert ready["ready"]
    access: dict[str, Any] = json.loads((Path(learner.env["MOD209_STATE"]) / SLUG / "operator.json").read_text())
    assert access["params"] == derive(LEARNER, TERM_KEY).model_dump()
    assert "ZT-1.1" in learner.run("mod209", "check", SLUG, code=9)

    notebooks = learner.course / "labs" / SLUG / "notebooks"
    for source in hand_in(folder / "reference", LEARNER).iterdir():
        (notebooks / source.name).write_bytes(source.read_bytes())
    learner.run("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", *NOTEBOOKS, cwd=notebooks)
    learner.run("mod209", "check", SLUG)

    told: dict[str, Any] = json.loads(learner.run("mod209", "submit", SLUG, "--json"))
    assert told["unanswered"] == []
    learner.run("mod209", "down", SLUG)

    [collected] = collect([Path(told["archive"])], SPEC, folder / "submitted")
    assert collected.refused is None
    return folder, told


def test_a_learners_way_from_the_bundle_to_what_is_handed_in(submitted: tuple[Path, dict[str, Any]]) -> None:
    folder, told = submitted
    [taken] = take_in(folder / "submitted", SPEC, RELEASE, folder / "staging").staged
    assert (taken.learner, taken.sha256) == (LEARNER, told["receipt"]["sha256"])


@pytest.mark.thorough
def test_it_gets_full_marks(submitted: tuple[Path, dict[str, Any]]) -> None:
    folder, told = submitted
    results = grade_batch(order_of(folder), lambda step: None)
    [graded] = results.submissions
    assert (graded.learner, graded.score) == (LEARNER, SPEC.points)
    assert graded.sha256 == told["receipt"]["sha256"]
