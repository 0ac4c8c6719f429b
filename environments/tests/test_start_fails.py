"""A server that falls over while a footprint is set up: which, what it was asked, and what it said last."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from environments.cleanroom.footprint import Progress, ServedFootprint
from environments.errors import FootprintError
from environments.params import practice
from environments.supervisor.process import Command


class Falls(ServedFootprint):
    """Its one server says something, ends, and is asked all the same."""

    provider = "none"

    def _boot(self, progress: Progress) -> None:
        code = "print('panic: no more memory'); raise SystemExit(2)"
        child = self._spawn(Command(name="aws/etcd", argv=[sys.executable, "-c", code], ready=lambda: True))
        child.process.wait(20)
        request = httpx.Request("POST", "https://127.0.0.1:1/api/v1/namespaces")
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)

    def _new_vault(self) -> None:
        raise AssertionError("nothing was set up")


def test_a_server_that_ends_while_it_is_set_up_is_named_with_its_last_words(tmp_path: Path) -> None:
    footprint = Falls(tmp_path, "zero-trust", practice(), {})
    with pytest.raises(FootprintError) as told:
        footprint.start(lambda _: None)
    assert "POST https://127.0.0.1:1/api/v1/namespaces: RemoteProtocolError" in told.value.message
    assert "aws/etcd exited with status 2:" in told.value.message
    assert "panic: no more memory" in told.value.message
