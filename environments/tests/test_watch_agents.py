"""The watch's clients: what they count against a rotation, and what they never do. Vault is played by a transport of httpx."""

from __future__ import annotations

from threading import Event
from time import monotonic
from typing import Any

import httpx
import pytest

from environments.rehearsal import GRACE_SECONDS
from environments.workbench import agents
from environments.workbench.agents import Agent

LONG_AGO = GRACE_SECONDS + 1


class Store:
    """A Vault that takes the secret ids in `alive`, and whose kv holds `stored`; `ill` is what it answers instead."""

    def __init__(self) -> None:
        self.alive, self.stored, self.version = {"old"}, "old", 1
        self.ill: int | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.ill is not None:
            return httpx.Response(self.ill, json={})
        if request.method == "GET":
            data = {"data": {"role_id": "r", "secret_id": self.stored}, "metadata": {"version": self.version}}
            return httpx.Response(200, json={"data": data})
        taken = any(f'"secret_id":"{secret}"' in request.content.decode().replace(" ", "") for secret in self.alive)
        return httpx.Response(200 if taken else 400, json={})


class Clock:
    """The monotonic clock, and how far a test has put it on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(agents, "time", made)
    return made


class Rounds(Event):
    """Lets a client go round so many times, without waiting."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        self.left -= 1
        return self.left < 0


def agent_of(store: Store) -> Agent:
    client = httpx.Client(base_url="https://vault.example", transport=httpx.MockTransport(store))
    return Agent(client, "aws", "token", monotonic() + 3600)


def go(agent: Agent, clock: Clock, rounds: int) -> dict[str, Any]:
    agent.work(Rounds(rounds), clock.monotonic() + 3600)
    spells = agent.spells()
    return {"calls": sum(spell.calls for spell in spells), "failed": sum(spell.failed for spell in spells)}


def test_a_call_with_a_dead_credential_has_failed(clock: Clock) -> None:
    store = Store()
    agent = agent_of(store)
    assert go(agent, clock, 3) == {"calls": 3, "failed": 0}
    store.alive = {"new"}
    assert go(agent, clock, 2) == {"calls": 5, "failed": 2}


def test_who_was_held_up_for_longer_than_the_grace_period_blames_nobody(clock: Clock) -> None:
    store = Store()
    agent = agent_of(store)
    go(agent, clock, 1)
    store.alive, store.stored, store.version = {"new"}, "new", 2
    clock.ahead += LONG_AGO
    assert go(agent, clock, 1) == {"calls": 1, "failed": 0}
    assert go(agent, clock, 1) == {"calls": 2, "failed": 0}  # it has read again
    assert agent.version == 2


def test_an_answer_that_never_came_is_no_failed_call_but_is_told(clock: Clock) -> None:
    store = Store()
    agent = agent_of(store)
    go(agent, clock, 1)
    for store.ill in (500, 503, 429):
        assert go(agent, clock, 2) == {"calls": 1, "failed": 0}
    clock.ahead += LONG_AGO
    go(agent, clock, 1)
    assert agent.silent >= LONG_AGO


def test_a_credential_that_is_gone_from_kv_counts(clock: Clock) -> None:
    store = Store()
    agent = agent_of(store)
    store.ill = 404
    go(agent, clock, 1)
    assert agent.gone == 1


def test_who_vault_knows_no_more_stops(clock: Clock) -> None:
    store = Store()
    agent = agent_of(store)
    store.ill = 403
    go(agent, clock, 5)
    assert agent.dismissed
    assert agent.spells() == []
