"""What the cage costs: a process and a notebook in it, beside the same without it. Run as root.

`python -m graders.benchmarks.bench_cage [--json] [--rounds N]`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from graders.cage import BubblewrapCage, Job, Limits, Status
from graders.cage.cgroup import hierarchy
from graders.cage.confined import Program, confine

_FORMAT: Any = nbformat  # its functions have no types
CELLS = ["x = 40 + 2", "print(x)"]
# As nbgrader runs a notebook: nbclient, with its defaults.
BARE = "import nbclient, nbformat, sys; nbclient.NotebookClient(nbformat.read(sys.argv[1], 4)).execute()"


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compared(name: str, ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> dict[str, Any]:
    """Medians in milliseconds of alternating runs, after one of each that does not count."""
    ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    mine, theirs = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
    row = {
        "name": name,
        "unit": "ms",
        "ours": round(mine, 1),
        "peer": round(theirs, 1),
        "ratio": round(mine / theirs, 2),
    }
    return row | {"machine": machine()}


def machine() -> str:
    """Processor count, architecture and load, which a figure means little without."""
    return f"{os.cpu_count()} x {platform.machine()}, load {os.getloadavg()[0]:.1f}"


def start_row(rounds: int) -> dict[str, Any]:
    """A Python that does nothing, in a cage and bare."""
    cage, where = BubblewrapCage(), hierarchy()
    bwrap = cage._bwrap  # noqa: SLF001  # the bare process is started without the rest as well
    program = Program(source="pass", payload=lambda _uid: b"", limits=Limits(), packages=False)

    def bare() -> None:
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True, env={}, timeout=60)

    return compared("start in the cage / bare process", lambda: confine(bwrap, where, program), bare, rounds)


def notebook_row(folder: Path, rounds: int) -> dict[str, Any]:
    """A notebook of two cells, in a cage and by nbclient in a fresh process."""
    cage = BubblewrapCage()
    made = _FORMAT.v4.new_notebook(cells=[_FORMAT.v4.new_code_cell(cell) for cell in CELLS])
    (folder / "one.ipynb").write_text(_FORMAT.writes(made))
    job = Job(files=folder, notebooks=("one.ipynb",), access=b"{}")

    def ours() -> None:
        if (outcome := cage.run(job)).status is not Status.FINISHED:
            raise RuntimeError(outcome.detail)

    def bare() -> None:
        command = [sys.executable, "-c", BARE, str(folder / "one.ipynb")]
        subprocess.run(command, check=True, timeout=120, stderr=subprocess.DEVNULL)

    return compared("notebook in the cage / nbclient alone", ours, bare, rounds)


def proof_row(rounds: int) -> dict[str, Any]:
    """All canaries, beside a bare process."""

    def bare() -> None:
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True, env={}, timeout=60)

    return compared("proof by canaries / bare process", BubblewrapCage().prove, bare, rounds)


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            start_row(options.rounds),
            proof_row(options.rounds),
            notebook_row(Path(folder), max(3, options.rounds // 3)),
        ]
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['name']}: {row['ours']} {row['unit']} / {row['peer']} {row['unit']} = {row['ratio']} ({row['machine']})"
        )


if __name__ == "__main__":
    main()
