"""Real connections: `ways`, our program on a node, tries every way between pods and to addresses outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpx

from environments.access import WaysAccess
from environments.probes.clients import client_context
from environments.probes.observation import UnreachableError

SECONDS: Final = 60.0  # three clouds share a small machine
OPEN: Final = "a"
SHUT: Final = "r"
UNTRIED: Final = "-"
PROBE_PORT: Final = (9, "TCP")
SOMEWHERE: Final = "192.0.2.7"
Matrix = Mapping[str, Mapping[str, str]]  # from -> to -> one letter a port


def try_ways(
    access: WaysAccess, ends: Mapping[str, str], outside: Mapping[str, str], ports: Iterable[tuple[int, str]]
) -> Matrix:
    """Which ways between `ends` (pods' addresses by name) and `outside` are open on each of `ports`.

    Raises:
        UnreachableError: the program does not answer, or not wholly.
    """
    asked = [{"port": port, "protocol": protocol} for port, protocol in ports]
    body = {"ends": dict(ends), "outside": dict(outside), "ports": asked}
    try:
        with httpx.Client(verify=client_context(access), timeout=SECONDS, trust_env=False) as client:
            answer = client.post(f"{access.url}/ways", json=body)
            said = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnreachableError(f"Nothing here can try connections: {type(error).__name__}.") from None
    if answer.is_error:
        raise UnreachableError(f"Connections cannot be tried: {said.get('error', answer.status_code)}")
    return _whole(said.get("matrix"), {*ends, *outside}, len(asked))


def is_open(access: WaysAccess, address: str) -> bool:
    """Whether a pod can be reached from outside at all."""
    matrix = try_ways(access, {"pod": address}, {"somewhere": SOMEWHERE}, [PROBE_PORT])
    return matrix["somewhere"]["pod"] == OPEN


def _whole(matrix: Any, names: set[str], ports: int) -> Matrix:
    rows = matrix.values() if isinstance(matrix, dict) and matrix.keys() == names else [None]
    letters = {OPEN, SHUT, UNTRIED}
    for row in rows:
        cells = row.values() if isinstance(row, dict) and row.keys() == names else [None]
        if not all(isinstance(cell, str) and len(cell) == ports and set(cell) <= letters for cell in cells):
            raise UnreachableError("What became of connections was not told wholly.")
    found: Matrix = matrix
    return found
