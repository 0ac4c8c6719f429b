"""The lab's own graders, whole: every variant of zero-trust through cage and judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from graders.verify import verify

COURSE = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_right_answers_pass_and_each_broken_one_fails_exactly_what_it_names() -> None:
    matrix = verify(COURSE, "zero-trust", lambda step: None, workers=2, together=True)
    wrong = {row.variant.name: (sorted(row.failed), sorted(row.variant.expected)) for row in matrix.rows if not row.ok}
    assert not wrong
    assert matrix.unkilled == []
    tasks = [row.variant.name[:4] for row in matrix.rows if row.variant.kind == "broken"]
    assert min(tasks.count(task) for task in (task.id.lower() for task in matrix.spec.tasks)) >= 4
