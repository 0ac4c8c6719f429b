"""The judge on real servers: full marks for a right answer, and the named checks lost for each fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from environments.footprint import Footprint
from environments.labspec import LabSpec, load_lab
from environments.platform import platform
from environments.probes import load_probes
from environments.tests.securing import REGO, Operator, operator_of
from graders.judge import Judge
from graders.verdicts import CheckVerdict, Outcome

pytestmark = [pytest.mark.servers, pytest.mark.slow]
COURSE = Path(__file__).parents[2]
LAB = load_lab(COURSE, "zero-trust")
# What `Operator.secure` secures; later tasks are answered by the reference alone, in the kill matrix.
SPEC = LAB.model_copy(update={"tasks": [task for task in LAB.tasks if task.id in ("ZT-1", "ZT-2", "ZT-3")]})
VISIBLE = load_probes(COURSE / "labs/zero-trust/probes", visible=True)
HIDDEN = load_probes(COURSE / "solutions/zero-trust/probes", visible=False)
FIRST = platform().workloads[0]


@pytest.fixture
def operator(footprint: Footprint) -> Iterator[Operator]:
    with operator_of(footprint) as someone:
        someone.secure()
        yield someone


def verdicts(footprint: Footprint, seed: bytes = b"this term", lab: LabSpec = SPEC) -> list[CheckVerdict]:
    assert footprint.settle()["tampered"] == []
    tasks = {task.id for task in lab.tasks}
    probes = [one for one in VISIBLE + HIDDEN if one.task in tasks]
    with Judge() as judge:
        return judge.judge(footprint.access("judge"), lab, probes, footprint.capabilities, seed).checks


def lost(found: list[CheckVerdict]) -> set[str]:
    assert {one.outcome for one in found} <= {Outcome.PASSED, Outcome.FAILED}
    return {one.id for one in found if one.outcome is Outcome.FAILED}


@pytest.mark.parametrize("seed", [b"", b"this term"])
def test_a_right_answer_gets_full_marks_whatever_the_term(
    operator: Operator, footprint: Footprint, seed: bytes
) -> None:
    start = time.monotonic()
    found = verdicts(footprint, seed)
    print(f"judged in {time.monotonic() - start:.1f} s")
    assert [(one.id, one.message) for one in found if one.outcome is not Outcome.PASSED] == []
    assert sum(one.earned or 0 for one in found) == SPEC.points
    assert all(one.seconds > 0 for one in found)


def test_nothing_done_earns_nothing(footprint: Footprint) -> None:
    assert lost(verdicts(footprint, lab=LAB)) == {check.id for check in LAB.checks}


def spoil_rego(old: str, new: str) -> Callable[[Operator], None]:
    assert old in REGO
    return lambda operator: operator.apply_rego(REGO.replace(old, new))


def writes_its_secret(operator: Operator) -> None:
    own = FIRST.secret("gcp")
    rights = '["read", "create", "update", "patch", "delete"]'
    operator.write_policy("gcp", FIRST, f'path "kv/data/{own}" {{ capabilities = {rights} }}')


# A fault of Vault, one of admission, and two that no variant of the kill matrix has; the others are there.
@pytest.mark.parametrize(
    ("spoil", "checks"),
    [
        (writes_its_secret, {"ZT-2.5"}),
        (spoil_rego('["hostNetwork", "hostPID", "hostIPC"]', '["hostNetwork", "hostPID"]'), {"ZT-3.4"}),
        (spoil_rego('"ReplicationController", "Job"', '"Job"'), {"ZT-3.6"}),
        (
            spoil_rego("if input.request.kind.kind in owned", 'if input.request.kind.kind in {"Job"}'),
            {"ZT-3.6", "ZT-3.7", "ZT-3.8", "ZT-3.10"},
        ),
    ],
)
def test_a_fault_loses_the_points_of_its_checks_and_no_others(
    operator: Operator, footprint: Footprint, spoil: Callable[[Operator], None], checks: set[str]
) -> None:
    spoil(operator)
    assert lost(verdicts(footprint)) == checks


def test_no_hidden_request_reaches_a_message(operator: Operator, footprint: Footprint) -> None:
    operator.apply_rego('package mod209.admission\n\ndeny contains message if {\n\tfalse\n\tmessage := ""\n}\n')
    text = " ".join(one.message for one in verdicts(footprint))
    assert "Requests that the self-check does not show" in text
    public = " ".join(probe.why for probe in VISIBLE)
    assert not [probe.id for probe in HIDDEN if probe.id in text or (probe.why in text and probe.why not in public)]
