"""Brings what servers inside of nodes print into the footprint's `logs/`, where learners and widgets read it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import httpx

from environments.cleanroom.endpoint import Endpoint
from environments.kind.manifests import NAMESPACE

AGAIN_SECONDS: Final = 0.5


class Follower(threading.Thread):
    """Follows the log of one static pod to its end, and that of its successor; `end` it, or it ends with the process."""

    def __init__(self, keeper: Endpoint, pod: str, log: Path) -> None:
        super().__init__(daemon=True, name=f"log of {pod}")
        self._keeper = keeper
        self._pod = pod
        self._log = log
        self._ended = threading.Event()

    def end(self) -> None:
        """Follow no more."""
        self._ended.set()

    def run(self) -> None:
        """Follow; a server that does not answer for a while is asked again."""
        since = ""
        while not self._ended.is_set():
            asked = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            try:
                self._follow(since)
                since = asked
            except (httpx.HTTPError, OSError):
                pass
            self._ended.wait(AGAIN_SECONDS)

    def _follow(self, since: str) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self._pod}/log"
        parameters = {"follow": "true"} | ({"sinceTime": since} if since else {})
        with (
            self._keeper.client(timeout=httpx.Timeout(10.0, read=None)) as client,
            client.stream("GET", path, params=parameters) as answer,
        ):
            answer.raise_for_status()
            with self._log.open("ab") as log:
                for chunk in answer.iter_bytes():
                    if self._ended.is_set():
                        return
                    log.write(chunk)
                    log.flush()
