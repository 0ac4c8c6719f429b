"""What the judge makes of the answers of `ways`: what cannot be tried does not count, and only whole answers do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from environments.platform import platform
from environments.probes.cases import Case
from environments.probes.kinds.traffic import ReachProbe
from environments.probes.observation import Finding, UnreachableError
from environments.probes.pairs import network
from environments.probes.reachability import ask_reach
from environments.probes.ways import _whole
from environments.probes.wire import Wire

PLAN = network(b"test_ways_answers", "aws")
NAMES = [*(pod.name for pod in PLAN.pods), *PLAN.outside]
WORKLOAD = platform().workloads[0]
Matrix = dict[str, dict[str, str]]


def matrix(needed: str, rest: str) -> Matrix:
    """An answer: one letter on all ways that the platform needs, another on the rest; SCTP cannot be tried."""

    def cell(source: str, target: str) -> str:
        wanted = PLAN.needed(source, target)
        return "".join("-" if port[1] == "SCTP" else needed if port in wanted else rest for port in PLAN.ports)

    return {source: {target: cell(source, target) for target in NAMES} for source in NAMES}


def ask(expect: str, said: Matrix) -> Finding:
    """What a probe of strays makes of an answer, or of peers where it expects ways to be open."""
    groups: Any = ["peers", "dns"] if expect == "allowed" else ["strays", "outside"]
    document: dict[str, Any] = {"id": "p", "kind": "reach", "title": "t", "expect": expect}
    probe = ReachProbe.model_construct(**document, source=groups, target=["self"])
    where: dict[str, Any] = {"cloud": "aws", "target_cloud": "aws", "workload": WORKLOAD, "target": WORKLOAD}
    case = Case(probe=cast("Any", probe), kind="", facts={}, **where)
    return ask_reach(probe, case, cast("Wire", SimpleNamespace(once=lambda key, ask: (PLAN, said))))


@pytest.mark.parametrize(
    ("expect", "needed", "rest", "ok"),
    [
        ("allowed", "a", "r", True),
        ("allowed", "r", "r", False),
        ("allowed", "a", "a", False),
        ("refused", "a", "r", True),
        ("refused", "a", "a", False),
        ("refused", "r", "r", False),
    ],
)
def test_real_connections_are_judged_like_the_models_verdicts(expect: str, needed: str, rest: str, ok: bool) -> None:
    assert ask(expect, matrix(needed, rest)).ok is ok


def test_where_nothing_can_be_tried_nothing_is_asked() -> None:
    with pytest.raises(UnreachableError, match="can be tried"):
        ask("refused", matrix("-", "-"))


@pytest.mark.parametrize(
    "said", [None, {}, {"a": {"a": "ar"}}, {"a": {"a": "a"}, "b": {"a": "a", "b": "e"}}, {"a": {"a": "?"}, "b": {}}]
)
def test_an_answer_that_is_not_whole_counts_for_nothing(said: object) -> None:
    with pytest.raises(UnreachableError):
        _whole(said, {"a", "b"}, 1)
