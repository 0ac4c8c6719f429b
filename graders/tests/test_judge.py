"""The judge's process and its rules, without servers: no clear verdict is never a pass."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from environments.access import Access
from environments.errors import BadInputError
from environments.labspec import Capability, LabSpec, load_lab
from environments.probes import Observation, load_probes
from environments.rehearsal import CloudRecord, Record, Spell
from environments.tests.securing import nowhere
from graders.judge import Judge
from graders.judge.evidence import CannotJudgeError, Evidence, NotHeldError, describe
from graders.judge.plugin import asked, failed_on
from graders.verdicts import CheckVerdict, Outcome

COURSE = Path(__file__).parents[2]
ALL: tuple[Capability, ...] = ("identity", "secrets", "admission", "traffic")
SPEC = load_lab(COURSE, "zero-trust")
PROBES = load_probes(COURSE / "labs/zero-trust/probes", visible=True)

RIGHT, WRONG, UNASKED = True, False, None


def unreachable() -> Access:
    """A judge's access to servers that are down, after a rotation in which no call failed."""
    seen = CloudRecord(
        spells=[Spell(credential=digest, version=n, calls=9) for n, digest in enumerate("ab", 1)], gone=0, silent=0.0
    )
    access = nowhere(role="judge")
    record = Record(armed="a turn", ended=True, seconds=20.0, clouds=dict.fromkeys(access.clouds, seen))
    return access.model_copy(update={"rehearsal": record})


def judged(
    spec: LabSpec = SPEC, capabilities: Iterable[Capability] = ALL, timeout: float = 120.0, python: str = sys.executable
) -> list[CheckVerdict]:
    with Judge(python) as judge:
        return judge.judge(unreachable(), spec, PROBES, capabilities, b"seed", timeout).checks


def outcomes(verdicts: list[CheckVerdict]) -> set[Outcome]:
    return {verdict.outcome for verdict in verdicts}


def test_servers_that_are_down_leave_every_check_ungraded_with_the_reason() -> None:
    verdicts = judged()
    assert [verdict.id for verdict in verdicts] == [check.id for check in SPEC.checks]
    assert outcomes(verdicts) == {Outcome.NOT_GRADED}
    assert all("could not be asked" in verdict.message for verdict in verdicts)


def test_a_capability_that_the_provider_lacks_is_the_reason() -> None:
    verdicts = judged(capabilities=())
    assert outcomes(verdicts) == {Outcome.NOT_GRADED}
    assert "This footprint (local) has no identity." in verdicts[0].message


@pytest.mark.parametrize("options", [{"timeout": 0.01}, {"python": "/bin/false"}])
def test_a_judge_that_ends_early_passes_nothing(options: dict[str, Any]) -> None:
    verdicts = judged(**options)
    assert len(verdicts) == len(SPEC.checks)
    assert outcomes(verdicts) == {Outcome.NOT_GRADED}
    assert all("The judge" in verdict.message for verdict in verdicts)


def test_a_check_that_nobody_wrote_is_not_graded() -> None:
    task = SPEC.tasks[0]
    unknown = task.checks[0].model_copy(update={"id": "ZT-1.99"})
    spec = SPEC.model_copy(update={"tasks": [task.model_copy(update={"checks": [unknown]})]})
    (verdict,) = judged(spec)
    assert verdict.outcome is Outcome.NOT_GRADED
    assert "no verdict" in verdict.message


def test_a_lab_without_checks_is_an_error() -> None:
    with pytest.raises(BadInputError, match="no checks"):
        judged(SPEC.model_copy(update={"slug": "unknown"}))


def test_judges_of_one_clean_process_know_nothing_of_each_other() -> None:
    with Judge() as judge:
        first, second = (judge.judge(unreachable(), SPEC, PROBES, capabilities, b"seed") for capabilities in ((), ALL))
    assert all("has no" in verdict.message for verdict in first.checks)
    assert all("could not be asked" in verdict.message for verdict in second.checks)


def test_a_judge_after_a_stopped_one_judges() -> None:
    with Judge() as judge:
        stopped = judge.judge(nowhere(role="judge"), SPEC, PROBES, ALL, b"seed", timeout=0.01)
        after = judge.judge(nowhere(role="judge"), SPEC, PROBES, (), b"seed")
    assert {verdict.message for verdict in stopped.checks} == {"The judge was stopped after 0.01 s."}
    assert all("has no" in verdict.message for verdict in after.checks)


def test_a_killed_clean_process_costs_one_judgement_and_is_replaced() -> None:
    with Judge() as judge:
        judge.judge(nowhere(role="judge"), SPEC, PROBES, (), b"seed")
        for process in _forkers():
            process.kill()
        lost = judge.judge(nowhere(role="judge"), SPEC, PROBES, (), b"seed")
        after = judge.judge(nowhere(role="judge"), SPEC, PROBES, (), b"seed")
    assert {verdict.message for verdict in lost.checks} == {
        "The judge gave no verdict on this check (it did not start)."
    }
    assert outcomes(lost.checks) == {Outcome.NOT_GRADED}
    assert all("has no" in verdict.message for verdict in after.checks)


def test_a_closed_judge_leaves_no_process() -> None:
    before = set(_forkers())
    with Judge() as judge:
        judge.judge(nowhere(role="judge"), SPEC, PROBES, (), b"seed")
        mine = set(_forkers()) - before
        assert mine
    assert not any(process.is_running() for process in mine)


def _forkers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [process for process in children if "graders.judge.forker" in process.cmdline()]


def test_visible_requests_come_back_with_the_verdict_and_hidden_ones_do_not() -> None:
    hidden = [probe.model_copy(update={"visible": False}) for probe in PROBES[::2]]
    with Judge() as judge:
        asked = judge.judge(nowhere(role="judge"), SPEC, [*hidden, *PROBES[1::2]], ALL, b"seed").asked
    whys = {one.why for some in asked.values() for one in some}
    assert whys <= {probe.why for probe in PROBES[1::2]}
    assert whys


SECRETS = """
import json, graders.judge.runner as runner
from pathlib import Path
print(json.dumps(runner._arguments(Path("checks"), Path("/empty"))))
"""


def test_nothing_secret_is_in_the_arguments() -> None:
    argv = subprocess.run([sys.executable, "-P", "-c", SECRETS], capture_output=True, text=True, check=True).stdout
    access = nowhere(role="judge")
    assert access.vault.token not in argv
    assert "PRIVATE KEY" not in argv


def seen(answer: bool | None, /, *, cloud: str = "aws", visible: bool = True, expected: str = "refused") -> Observation:
    return Observation(
        probe_id="p",
        check="ZT-1.2",
        task="ZT-1",
        cloud=cloud,
        visible=visible,
        why="Because it matters.",
        request="the request",
        expected=expected,
        got="allowed",
        detail="the detail",
        ok=answer,
        seconds=0.1,
    )


def held(*observations: Observation) -> None:
    Evidence(clouds=["aws", "gcp"], observations=observations).demand("refused")


def test_right_answers_on_every_cloud_hold() -> None:
    held(seen(RIGHT), seen(RIGHT, cloud="gcp"))


@pytest.mark.parametrize(
    "observations",
    [
        [],
        [seen(RIGHT)],
        [seen(RIGHT), seen(UNASKED, cloud="gcp")],
        [seen(RIGHT, expected="allowed"), seen(RIGHT, cloud="gcp")],
    ],
)
def test_what_was_not_asked_cannot_be_judged(observations: list[Observation]) -> None:
    with pytest.raises(CannotJudgeError):
        held(*observations)


def test_one_wrong_answer_is_enough_to_fail_even_if_others_could_not_be_asked() -> None:
    with pytest.raises(NotHeldError):
        held(seen(RIGHT), seen(UNASKED), seen(WRONG, cloud="gcp"))


def test_a_learner_is_told_of_hidden_requests_only_on_which_cloud() -> None:
    text = describe([seen(WRONG, visible=False, cloud="gcp")])
    assert "gcp" in text
    assert not any(word in text for word in ("the request", "the detail", "Because", "allowed", "p of"))


def test_a_learner_is_told_what_was_sent_expected_and_got() -> None:
    assert describe([seen(WRONG)] * 9) == ("9 requests that the self-check shows too: not answered as must be on aws.")
    told, passed = asked([seen(RIGHT), seen(WRONG), seen(WRONG, visible=False)])
    assert (told.cloud, told.request, told.expected, told.got, told.detail, told.why, told.ok) == (
        "aws",
        "the request",
        "refused",
        "allowed",
        "the detail",
        "Because it matters.",
        False,
    )
    assert passed.ok is True


def test_a_failed_check_says_on_which_clouds_it_does_not_hold() -> None:
    observations = [seen(RIGHT, cloud="aws"), seen(WRONG, cloud="gcp"), seen(WRONG, cloud="azure"), seen(UNASKED)]
    assert failed_on(Outcome.FAILED, observations) == ("azure", "gcp")
    assert failed_on(Outcome.NOT_GRADED, observations) == ()
