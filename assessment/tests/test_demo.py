"""`mod209 demo`, as the README promises it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assessment.demo import DEMO_FILES

COURSE = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.thorough  # graders/tests/test_batch.py grades the same three kinds
@pytest.mark.timeout(1200)
def test_the_demo_grades_a_right_a_partly_right_and_a_hostile_submission(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    argv = [sys.executable, "-m", "assessment", "demo", "--out", str(out), "--course", str(COURSE)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    found = {one["learner"]: one for one in results["submissions"]}
    assert found["ada-right"]["verdict"] == "graded"
    assert found["ada-right"]["score"] == found["ada-right"]["max_score"] == 100
    partly = {check["id"] for check in found["ben-partly"]["checks"] if check["outcome"] == "failed"}
    assert partly == {"ZT-3.6", "ZT-3.7", "ZT-3.8", "ZT-3.10"}
    assert found["mallory-hostile"]["verdict"] == "tampered"
    assert found["mallory-hostile"]["score"] == 0
    for learner in found:
        assert (out / "feedback" / f"{learner}.html").is_file()
        assert learner in done.stdout
    assert "index.html" in done.stdout
    assert {path.name for path in out.iterdir()} <= set(DEMO_FILES)  # else a second demo would refuse the folder
    unknown = out / "somebody-elses.txt"
    unknown.write_text("precious")
    again = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 3
    assert unknown.read_text() == "precious"
