"""The line of OPA's decision log that belongs to a question about admission."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from environments.probes import Observation
from environments.probes.observation import brief

TAIL_BYTES = 8 << 20
ASKED = re.compile(r"(create|update|add an ephemeral container to) a (\w+) of ([\w-]+)/([\w-]+) on \w+")
Entry = dict[str, Any]


def decision(logs: Path, seen: Observation, since: datetime) -> Entry | None:
    """The latest decision since then that fits the question, cut down to what there is to read; None if there is none."""
    asked = ASKED.match(seen.request)
    log = logs / f"{seen.cloud}-opa.log"
    if not asked or not log.is_file():
        return None
    found = [entry for entry in _entries(log) if _fits(entry, asked, seen, since)]
    return _readable(found[-1]) if found else None


def _entries(log: Path) -> Iterator[Entry]:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
        for line in stream:
            if b'"decision_id"' in line:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue


def _fits(entry: Entry, asked: re.Match[str], seen: Observation, since: datetime) -> bool:
    request, response = _parts(entry)
    verb, kind, namespace, account = asked.groups()
    if (request.get("kind") or {}).get("kind") != kind or request.get("namespace") != namespace:
        return False
    if request.get("operation") != ("CREATE" if verb == "create" else "UPDATE") or _time(entry) < since:
        return False
    if not str(request.get("name") or (request.get("object") or {}).get("metadata", {}).get("name", "")).startswith(
        account
    ):
        return False
    message = (response.get("status") or {}).get("message", "")
    return (
        bool(response.get("allowed")) if seen.got == "allowed" else bool(message) and brief(message)[:80] in seen.detail
    )


def _parts(entry: Entry) -> tuple[Entry, Entry]:
    request = (entry.get("input") or {}).get("request") or {}
    response = (entry.get("result") or {}).get("response") or {}
    return request, response


def _time(entry: Entry) -> datetime:
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", str(entry.get("timestamp") or entry["time"])))


def _readable(entry: Entry) -> Entry:
    request, response = _parts(entry)
    kept = {key: request[key] for key in ("operation", "namespace", "name", "subResource") if request.get(key)}
    return {
        "time": entry.get("timestamp") or entry["time"],
        "decision_id": entry["decision_id"],
        "request": {"kind": request["kind"]["kind"]} | kept,
        "response": response,
    }
