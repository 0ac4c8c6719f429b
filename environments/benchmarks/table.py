"""What every benchmark shares: two sides timed in turn, and rows printed as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one run."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def compared(name: str, ours: Callable[[], object], peer: Callable[[], object], rounds: int, warm_up: int = 1) -> Row:
    """Medians in milliseconds of runs in turn, ours and the peer's; `warm_up` rounds first do not count."""
    for _ in range(warm_up):
        ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    mine, theirs = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
    return row(name, "ms", mine, theirs)


def row(name: str, unit: str, ours: float, peer: float | None) -> Row:
    """One row; `ratio` is ours over the peer's."""
    ratio = round(ours / peer, 3) if peer else None
    return {
        "name": name,
        "unit": unit,
        "ours": round(ours, 1),
        "peer": None if peer is None else round(peer, 1),
        "ratio": ratio,
        "machine": machine(),
    }


def machine() -> str:
    """Processor count, architecture and load, without which a figure means little."""
    return f"{os.cpu_count()} x {platform.machine()}, load {os.getloadavg()[0]:.1f}"


def main(description: str, measure: Callable[[int], Iterable[Row]], rounds: int) -> None:
    """Parse `--json` and `--rounds`, measure, and print."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=rounds)
    options = parser.parse_args()
    rows = list(measure(options.rounds))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("what, beside what", "unit", "ours", "peer", "ratio", title=machine(), title_justify="left")
    for one in rows:
        table.add_row(one["name"], one["unit"], *(str(one[key]) for key in ("ours", "peer", "ratio")))
    Console().print(table)
