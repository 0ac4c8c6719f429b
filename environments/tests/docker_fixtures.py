"""What tests with the real Docker daemon share: a client, and images of a few bytes that take no time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from environments.errors import FootprintError
from environments.kind.engine import connect
from environments.tests.tiny_images import Make, tar_of


@pytest.fixture
def daemon() -> Iterator[Any]:
    """A client of the daemon of this machine."""
    try:
        client = connect()
    except FootprintError as error:
        pytest.skip(f"{error.message} To start one: .ci/dockerd")
    yield client
    client.close()


@pytest.fixture
def tiny_image(daemon: Any) -> Iterator[Make]:
    """Makes images of a few files, with labels, and gives their names; they are gone afterwards."""
    made: list[str] = []

    def make(files: Mapping[str, str] | None = None, **labels: str) -> str:
        name = f"mod209-test/{secrets.token_hex(4)}"
        changes = [f"LABEL {key.replace('_', '.')}={json.dumps(value)}" for key, value in labels.items()]
        daemon.api.import_image_from_data(tar_of(files or {"here": ""}), repository=name, tag="1", changes=changes)
        made.append(f"{name}:1")
        return made[-1]

    yield make
    for name in made:
        daemon.api.remove_image(name, force=True)
