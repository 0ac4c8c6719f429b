"""A second look at what stands on a failed task: what it runs, and that it asks for no more than it can redeem."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from environments.labspec import LabSpec
from environments.params import derive
from environments.probes import Probe
from graders.cage import Job, Outcome, Status
from graders.grading import Graded, Setting, Task, grade_one
from graders.judge import Judgement
from graders.probeset import load_all
from graders.tests.batches import COURSE, NOTEBOOKS, SPEC, TERM_KEY, hand_in
from graders.verdicts import Outcome as Verdict
from graders.verdicts import judged

REFERENCE = COURSE / "solutions" / SPEC.slug / "notebooks"


@dataclass
class Stage:
    """A footprint, a cage and a judge that remember what they were asked, and fail what they are told to fail."""

    failing: Sequence[set[str]]  # at each look
    ran: list[tuple[Path, tuple[str, ...]]] = field(default_factory=list)
    needed: list[set[str]] = field(default_factory=list)
    asked: list[set[str]] = field(default_factory=list)

    def access(self, role: str, needs: Collection[str] | None = None) -> Any:
        if role == "judge":
            self.needed.append(set(needs or ()))
        return SimpleNamespace(model_dump_json=lambda: "{}", ports=dict, capabilities=frozenset())

    def reset(self, params: Any) -> None: ...

    def settle(self) -> dict[str, Any]:
        return {"tampered": []}

    def status(self) -> dict[str, Any]:
        return {"servers": {}}

    def run(self, job: Job) -> Outcome:
        self.ran.append((job.files, job.notebooks))
        done = dict.fromkeys(job.notebooks, b"")
        return Outcome(status=Status.FINISHED, notebooks=done, detail="", seconds=0.0, peak_memory_bytes=None)

    def judge(self, _: Any, spec: LabSpec, probes: list[Probe], *__: Any) -> Judgement:
        failing = self.failing[len(self.asked)]
        self.asked.append({probe.task for probe in probes})
        verdicts = [
            judged(spec, one.id, Verdict.FAILED if one.id in failing else Verdict.PASSED) for one in spec.checks
        ]
        return Judgement(checks=verdicts, asked={})

    def grade(self, folder: Path) -> Graded:
        path = hand_in(folder, "ada")
        sha = hashlib.sha256().hexdigest()
        params = derive("ada", TERM_KEY)
        task = Task(learner="ada", path=path, content=sha, sha256=sha, notes=(), params=params, seed="00")
        setting: Any = Setting(course=COURSE, spec=SPEC, probes=load_all(COURSE, SPEC), cage=self)  # type: ignore[arg-type]
        room: Any = SimpleNamespace(ready=lambda: self, judge=self)
        return grade_one(setting, task, room)


def failed(graded: Graded) -> set[str]:
    return {one.id for one in graded.result.checks if one.outcome is Verdict.FAILED}


def test_only_what_failed_and_stands_on_a_failed_task_is_judged_again(tmp_path: Path) -> None:
    """ZT-4 stands on ZT-1 too, but holds; ZT-3 fails by itself."""
    stage = Stage([{"ZT-1.1", "ZT-2.1", "ZT-2.2", "ZT-3.1"}, {"ZT-2.2"}])
    graded = stage.grade(tmp_path)
    assert failed(graded) == {"ZT-1.1", "ZT-2.2", "ZT-3.1"}
    assert stage.asked == [{task.id for task in SPEC.tasks}, {"ZT-2"}]
    assert stage.needed == [set(SPEC.needs), {"secrets"}]
    first, own = SPEC.task("ZT-1").notebook, tmp_path / "ada" / SPEC.slug
    others = tuple(one for one in NOTEBOOKS if one != first)
    assert stage.ran == [(own, NOTEBOOKS), (REFERENCE, (first,)), (own, others)]


def test_without_a_failed_task_under_a_failed_one_there_is_no_second_look(tmp_path: Path) -> None:
    stage = Stage([{"ZT-1.1", "ZT-3.1"}])
    assert failed(stage.grade(tmp_path)) == {"ZT-1.1", "ZT-3.1"}
    assert len(stage.asked) == 1
