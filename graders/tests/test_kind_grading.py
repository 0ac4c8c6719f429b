"""The same verdicts on clusters as on local: a right answer, and faults that only real traffic or a real API shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from environments import footprint
from environments.errors import FootprintError
from environments.footprint import Footprint
from environments.labspec import load_lab
from environments.tests.tier import THOROUGH
from graders import room, verify
from graders.judge import Judge
from graders.variants import load_variants
from graders.verdicts import SubmissionVerdict

COURSE = Path(__file__).parents[2]
# The reference but for one fault of its network: all else must pass.
SOME = ["zt-4-two-items"]
# On a busy machine a webhook can be too slow now and then, and a check is not graded then: that is no verdict.
ATTEMPTS = 2


def all_of_local() -> list[str]:
    """What `local` grades too: answers for policy engines need one of these on the clusters (test_kind_engines)."""
    variants = load_variants(COURSE, load_lab(COURSE, "zero-trust"))
    return [one.name for one in verify.wanted(variants, "local", ())]


def test_what_strangers_are_graded_on_is_held_and_a_learners_own_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []

    def spawn(_: Path, plan: dict[str, Any]) -> None:
        told.append(plan["held"])
        raise FootprintError("far enough", hint="")

    monkeypatch.setenv("MOD209_STATE", str(tmp_path))
    monkeypatch.setattr(footprint, "_plan", lambda *_: {})
    monkeypatch.setattr(footprint, "_spawn", spawn)
    place = room.Place(course=COURSE, lab="zero-trust", provider="kind")
    with pytest.raises(FootprintError, match="far enough"), room.room(place) as one:
        one.ready()
    with pytest.raises(FootprintError, match="far enough"):
        footprint.start("zero-trust", provider="kind")
    assert told == [True, True, False]  # a room starts once more


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.clusters
@pytest.mark.timeout(7200 if THOROUGH else 1800)
def test_variants_fail_on_kind_what_they_fail_on_local(
    kind_footprint: Footprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One footprint is enough for this machine: that of the other tests."""
    monkeypatch.setattr(room.Room, "ready", lambda self: _with(self, kind_footprint))
    names = all_of_local() if THOROUGH else SOME
    for _ in range(ATTEMPTS):
        matrix = verify.verify(COURSE, "zero-trust", lambda _: None, provider="kind", only=names, together=True)
        if all(row.result.verdict is SubmissionVerdict.GRADED for row in matrix.rows):
            break
    assert {row.variant.name: (sorted(row.failed), row.result.verdict) for row in matrix.rows if not row.ok} == {}
    assert [row.variant.name for row in matrix.rows] == names


def _with(place: room.Room, footprint: Footprint) -> Footprint:
    if place._judge is None:
        place._judge = Judge()
    return footprint
