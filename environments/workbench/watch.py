"""The watch: lets clients work on every cloud while a learner rotates their credential, and counts what they meet."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import httpx

from environments.cleanroom.endpoint import Endpoint
from environments.platform import platform
from environments.rehearsal import CACHE_SECONDS, CloudRecord, Record, Spell
from environments.workbench.agents import Agent
from environments.workbench.command import mark
from environments.yamlfile import Strict

REPLICAS = 2  # on each cloud; they read half a cache's time apart, so that never all of them have just read
LONGEST_SECONDS = 60.0
PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.01


class WatchConfig(Strict):
    """Vault's address and CA, the file of the token to read with, and the file to write the record to."""

    url: str
    ca: Path
    token: Path
    record: Path


class NotWatchingError(Exception):
    """Nothing is being watched, or nothing may be."""


class Rehearsal:
    """Clients at work, from now until `end` or for a minute at the longest."""

    def __init__(self, vault: httpx.Client, token: str) -> None:
        self._vault = vault
        self.token = token
        self._began = time.monotonic()
        self._stopped = Event()
        steps = [CACHE_SECONDS * (1 + number / REPLICAS) for number in range(REPLICAS)]
        self._agents = {
            cloud: [Agent(vault, cloud, token, self._began + step) for step in steps] for cloud in platform().clouds
        }
        deadline = self._began + LONGEST_SECONDS
        self._threads = [
            Thread(target=agent.work, args=(self._stopped, deadline), daemon=True) for agent in self._everybody()
        ]
        for thread in self._threads:
            thread.start()
        self._wait_for_calls(self._began)

    def using(self) -> dict[str, int]:
        """Version of the credential, cloud by cloud, that no client is behind any more."""
        return {cloud: min(agent.version for agent in agents) for cloud, agents in self._agents.items()}

    def end(self) -> Record:
        """Let every client read and call once more, so that what is broken shows; then stop, and say what there was."""
        self._wait_for_calls(time.monotonic())
        ended = self._at_work()
        self.stop()
        clouds = {cloud: _record(agents) for cloud, agents in self._agents.items()}
        seconds = time.monotonic() - self._began
        return Record(armed=mark(self.token), ended=ended, seconds=round(seconds, 3), clouds=clouds)

    def stop(self) -> None:
        """Stop all clients."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._vault.close()

    def _at_work(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def _everybody(self) -> list[Agent]:
        return [agent for agents in self._agents.values() for agent in agents]

    def _wait_for_calls(self, since: float) -> None:
        """Wait until every client has called with what it has read `since`; where Vault gives no answers, not for ever."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self._at_work():
            if all(agent.tried >= since for agent in self._everybody()):
                return
            time.sleep(POLL_SECONDS)


class Watch:
    """At most one rehearsal at a time, for whoever asks by HTTP. All answers are plain JSON."""

    def __init__(self, config: WatchConfig) -> None:
        self._config = config
        self._vault = Endpoint(url=config.url, ca=config.ca)
        self._lock = Lock()
        self._current: Rehearsal | None = None

    def begin(self) -> dict[str, Any]:
        """Let clients work from now on; a rehearsal under way is given up, and what was seen before counts no more."""
        with self._lock:
            token = self._config.token.read_text()
            if not token:
                raise NotWatchingError("nothing may be watched now")
            if self._current:
                self._current.stop()
            self._config.record.unlink(missing_ok=True)
            self._current = Rehearsal(self._vault.client(timeout=5.0), token)
            return self._current.using()

    def using(self) -> dict[str, Any]:
        """Which version of the credential all clients of a cloud use now."""
        return self._running().using()

    def end(self) -> dict[str, Any]:
        """End the rehearsal and keep its record."""
        with self._lock:
            running, self._current = self._running(), None
            record = running.end()
            self._keep(record)
            return record.model_dump()

    def seen(self) -> dict[str, Any]:
        """The record of the last rehearsal that was ended, if any was."""
        try:
            record = Record.model_validate_json(self._config.record.read_text())
        except FileNotFoundError:
            return {"record": None}
        return {"record": record.model_dump()}

    def _running(self) -> Rehearsal:
        if self._current is None:
            raise NotWatchingError("nothing is being watched")
        return self._current

    def _keep(self, record: Record) -> None:
        part = self._config.record.with_suffix(".new")
        part.write_text(record.model_dump_json())
        # What another learner's turn has begun with in the meantime must not find this one's record.
        if record.armed == mark(self._config.token.read_text()):
            part.replace(self._config.record)
        with suppress(FileNotFoundError):
            part.unlink()


def _record(agents: list[Agent]) -> CloudRecord:
    """What a cloud's clients met together."""
    calls: Counter[tuple[int, str]] = Counter()
    failed: Counter[tuple[int, str]] = Counter()
    for spell in (spell for agent in agents for spell in agent.spells()):
        calls[spell.version, spell.credential] += spell.calls
        failed[spell.version, spell.credential] += spell.failed
    return CloudRecord(
        spells=[
            Spell(version=key[0], credential=key[1], calls=calls[key], failed=failed[key]) for key in sorted(calls)
        ],
        gone=sum(agent.gone for agent in agents),
        silent=round(max(agent.silent for agent in agents), 3),
    )
