"""A lab that needs runtime detection, graded where it is not to be had: without servers, which nobody gets to ask."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from environments.labspec import load_lab
from graders import room
from graders.batch import grade_batch
from graders.judge import Judge
from graders.tests.batches import COURSE, SLUG, Idle, hand_in, order_of
from graders.tests.test_judge import unreachable
from graders.verdicts import CheckVerdict, Outcome

REASON = "provider local runs no pods"


class Fake:
    """A footprint whose servers nobody can reach, and which says what it is without."""

    def __init__(self, reason: str) -> None:
        self._access = unreachable().model_copy(update={"without": {"runtime": reason}})

    def access(self, role: str, needs: Any = None) -> Any:
        return self._access

    def reset(self, params: Any) -> None:
        """Nothing is there to be reset."""

    def settle(self) -> dict[str, Any]:
        return {"tampered": []}

    def status(self) -> dict[str, Any]:
        return {"servers": {}}


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """The real lab, but for one task, which needs runtime detection."""
    folder = tmp_path / "course"
    shutil.copytree(COURSE / "labs" / SLUG, folder / "labs" / SLUG)
    shutil.copytree(COURSE / "solutions" / SLUG / "probes", folder / "solutions" / SLUG / "probes")
    spec = folder / "labs" / SLUG / "lab.yaml"
    spec.write_text(spec.read_text().replace("needs: admission", "needs: runtime"))
    return folder


def graded(course: Path, folder: Path, reason: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[CheckVerdict]]:
    """Verdicts on a submission, by task."""

    def ready(place: room.Room) -> Any:
        place._judge = place._judge or Judge()
        return Fake(reason)

    monkeypatch.setattr(room.Room, "ready", ready)
    hand_in(folder / "submitted", "a")
    [result] = grade_batch(order_of(folder, course=course), lambda _: None, Idle()).submissions
    return {task.id: [one for one in result.checks if one.task == task.id] for task in load_lab(course, SLUG).tasks}


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [(REASON, f"This footprint (local) has no runtime: {REASON}."), ("", "This footprint (local) has no runtime.")],
)
def test_a_task_without_its_runtime_is_not_graded_and_says_why(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, sentence: str
) -> None:
    verdicts = graded(course, tmp_path, reason, monkeypatch)
    assert {one.outcome for one in verdicts["ZT-3"]} == {Outcome.NOT_GRADED}
    assert {one.message for one in verdicts["ZT-3"]} == {sentence}
    assert {one.earned for one in verdicts["ZT-3"]} == {None}
    others = [one for task, checks in verdicts.items() if task != "ZT-3" for one in checks]
    assert not any("has no" in one.message for one in others)
    pages = "".join(path.read_text() for path in (tmp_path / "out" / "feedback").rglob("*.html"))
    assert sentence in pages
