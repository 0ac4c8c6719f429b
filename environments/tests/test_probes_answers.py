"""What a server's answer is taken for: a decision, a broken policy, or our own trouble."""

from __future__ import annotations

import threading

import httpx
import pytest

from environments.probes import Prober
from environments.probes.admission import decision_in
from environments.probes.kinds.admission import AdmissionProbe
from environments.probes.kinds.identity import LoginProbe
from environments.probes.kinds.secrets import SecretProbe
from environments.probes.model import Probe
from environments.probes.observation import MAX_DETAIL, UnreachableError, brief
from environments.probes.once import Once
from environments.tests.securing import nowhere

WEBHOOK = 'admission webhook "opa.mod209.example" denied the request: [ZT-3/digest] no digest'
CEL = "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: [ZT-3/digest] no digest"


def said(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"kind": "Status", "message": message})


@pytest.mark.parametrize(("status", "message"), [(403, WEBHOOK), (400, WEBHOOK), (422, CEL), (401, CEL), (413, CEL)])
def test_webhook_and_validating_policy_refuse_alike(status: int, message: str) -> None:
    assert decision_in("aws", said(status, message)).decision == "refused"


def test_a_quota_is_a_refusal_without_a_rule() -> None:
    answer = decision_in("aws", said(403, 'pods "x" is forbidden: exceeded quota: q, requested: pods=1'))
    assert answer.decision == "refused"
    assert "[ZT-3/" not in answer.message


def test_a_webhook_that_fails_while_opa_answers_is_the_policys_fault() -> None:
    message = 'Internal error occurred: failed calling webhook "opa.mod209.example": expected webhook response of kind'
    assert decision_in("aws", said(500, message)).decision == "error"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, 'failed calling webhook "opa.mod209.example": Post "https://127.0.0.1:1": connect: connection refused'),
        (500, 'failed calling webhook "opa.mod209.example": failed to call webhook: context deadline exceeded'),
        (403, 'pods is forbidden: User "mod209:judge" cannot create resource "pods" in API group "" in the namespace'),
        (422, 'Pod "x" is invalid: spec.containers[0].image: Required value'),
        (404, 'namespaces "training" not found'),
        (500, "etcdserver: request timed out"),
    ],
)
def test_what_never_came_to_a_decision_is_nobodys_refusal(status: int, message: str) -> None:
    with pytest.raises(UnreachableError):
        decision_in("aws", said(status, message))


def probes() -> list[Probe]:
    shared = {"why": "because of this", "expect": "allowed"}
    return [
        LoginProbe.model_validate({"id": "a", "check": "ZT-1.1", "kind": "login", **shared}),
        SecretProbe.model_validate({"id": "b", "check": "ZT-2.1", "kind": "secret", "path": "kv/data/{own}", **shared}),
        AdmissionProbe.model_validate({"id": "c", "check": "ZT-3.1", "kind": "admission", **shared}),
    ]


def test_a_capability_that_is_missing_leaves_the_probe_unasked() -> None:
    seen = Prober(nowhere(), {"traffic"}, b"").run(probes())
    assert {observation.ok for observation in seen} == {None}
    assert {"This footprint has no admission."} == {one.detail for one in seen if one.probe_id == "c"}


def test_servers_that_are_down_are_our_fault_and_never_an_exception() -> None:
    seen = Prober(nowhere(), {"identity", "secrets", "admission"}, b"").run(probes())
    assert len(seen) == 3 * 5 + 3 * 5 + 3
    assert {observation.ok for observation in seen} == {None}
    assert all("does not answer" in observation.detail for observation in seen)


def test_many_threads_make_a_thing_once() -> None:
    once = Once()
    made: list[int] = []
    results: list[int] = []
    barrier = threading.Barrier(8)

    def make() -> int:
        made.append(1)
        return len(made)

    def ask() -> None:
        barrier.wait()
        results.append(once("key", make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1] * 8


def test_a_failure_is_kept_for_all_who_ask() -> None:
    once = Once()

    def fail() -> None:
        raise UnreachableError("gone")

    for _ in range(2):
        with pytest.raises(UnreachableError, match="gone"):
            once("key", fail)


@pytest.mark.parametrize("text", ["a\nb\x1b[31mc", "\ud800", "x" * 10_000, ""])
def test_what_servers_say_becomes_one_short_printable_line(text: str) -> None:
    line = brief(text)
    assert len(line) <= MAX_DETAIL
    assert line.isprintable()
