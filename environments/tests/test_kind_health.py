"""When a cluster's pods count as ready: not before controllers have made all that is wished for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from environments.kind.health import SERVER_LABEL, pods_ready

Object = dict[str, Any]


def pod(ready: str = "True", server: str = "") -> Object:
    labels = {SERVER_LABEL: server} if server else {}
    return {"metadata": {"labels": labels}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def deployment(ready: int | None = 2, seen: int = 1) -> Object:
    status = {"observedGeneration": seen, **({"readyReplicas": ready} if ready is not None else {})}
    return {"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": status if seen else {}}


def daemonset(ready: int = 1, seen: int = 1) -> Object:
    """The API server writes both numbers, as nothing, before any controller has seen it."""
    status = {"desiredNumberScheduled": 1 if seen else 0, "numberReady": ready if seen else 0}
    return {
        "metadata": {"generation": 1},
        "spec": {},
        "status": status | ({"observedGeneration": seen} if seen else {}),
    }


STATIC = pod(server="opa")
COREDNS = [pod(), pod()]


@pytest.mark.parametrize(
    ("pods", "deployments", "daemonsets", "ready"),
    [
        ([STATIC, *COREDNS], [deployment()], [daemonset()], True),
        ([STATIC, *COREDNS, pod("False", server="falco")], [deployment()], [daemonset()], True),
        ([STATIC], [deployment(seen=0)], [daemonset()], False),  # its controller has not begun
        ([STATIC], [deployment(None)], [daemonset()], False),
        ([STATIC, pod()], [deployment(1)], [daemonset()], False),
        ([STATIC, *COREDNS], [deployment(seen=0)], [daemonset()], False),
        ([STATIC, *COREDNS], [deployment()], [daemonset(seen=0)], False),
        ([STATIC, *COREDNS], [deployment()], [daemonset(ready=0)], False),
        ([STATIC, pod(), pod("False")], [deployment()], [daemonset()], False),
        ([pod(server="falco")], [], [], False),
    ],
)
def test_pods_are_ready_when_all_that_are_wished_for_are(
    pods: list[Object], deployments: list[Object], daemonsets: list[Object], ready: bool
) -> None:
    answers = {
        "/api/v1/pods": pods,
        "/apis/apps/v1/deployments": deployments,
        "/apis/apps/v1/daemonsets": daemonsets,
    }
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"items": answers[request.url.path]}))
    with httpx.Client(transport=transport, base_url="https://keeper") as keeper:
        assert pods_ready(keeper, but="falco") is ready


def test_a_server_that_does_not_answer_has_none_that_are_ready() -> None:
    with httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(503)), base_url="https://keeper"
    ) as keeper:
        assert not pods_ready(keeper, but="")
