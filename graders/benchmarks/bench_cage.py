"""What the cages cost: a process and a notebook in one, beside the same without it. Run as root, with a Docker daemon.

`python -m graders.benchmarks.bench_cage [--json] [--rounds N]`
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat

from environments.benchmarks.table import Row, compared, main
from graders.cage import BubblewrapCage, Cage, Job, Limits, Status
from graders.cage.confined import Program, Start, confine
from graders.cage.docker import DockerCage

_FORMAT: Any = nbformat  # its functions have no types
CELLS = ["x = 40 + 2", "print(x)"]
# As nbgrader runs a notebook: nbclient, with its defaults.
BARE = "import nbclient, nbformat, sys; nbclient.NotebookClient(nbformat.read(sys.argv[1], 4)).execute()"


def bare_process() -> None:
    """A Python that does nothing."""
    subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True, env={}, timeout=60)


def started(start: Start) -> Callable[[], object]:
    """A Python in a cage that does nothing but say so."""
    header = '{"kind": "done"}'
    source = f"import os, sys; os.write(int(sys.argv[2]), bytes([0, {len(header)}, 0, 0, 0, 0]) + b'{header}')"
    program = Program(source=source, payload=lambda _uid: b"", limits=Limits(), packages=False)
    return lambda: confine(start, program)


def ran(cage: Cage, folder: Path) -> Callable[[], object]:
    """A notebook of two cells, in a cage."""
    job = Job(files=folder, notebooks=("one.ipynb",), access=b"{}")

    def run() -> None:
        if (outcome := cage.run(job)).status is not Status.FINISHED:
            raise RuntimeError(outcome.detail)

    return run


def measure(rounds: int) -> Iterator[Row]:
    """All rows."""
    bubblewrap, docker = BubblewrapCage(), DockerCage()
    bubble, container = started(bubblewrap.start), started(docker.start)
    yield compared("start in the bubblewrap cage / bare process", bubble, bare_process, rounds)
    yield compared("start in the docker cage / bare process", container, bare_process, rounds)
    yield compared("start in the docker cage / start in the bubblewrap cage", container, bubble, rounds)
    yield compared("proof of the bubblewrap cage by canaries / bare process", bubblewrap.prove, bare_process, rounds)
    yield compared("proof of the docker cage by canaries / bare process", docker.prove, bare_process, rounds)
    with tempfile.TemporaryDirectory() as name:
        folder, few = Path(name), max(3, rounds // 3)
        made = _FORMAT.v4.new_notebook(cells=[_FORMAT.v4.new_code_cell(cell) for cell in CELLS])
        (folder / "one.ipynb").write_text(_FORMAT.writes(made))

        def alone() -> None:
            command = [sys.executable, "-c", BARE, str(folder / "one.ipynb")]
            subprocess.run(command, check=True, timeout=120, stderr=subprocess.DEVNULL)

        yield compared("notebook in the bubblewrap cage / nbclient alone", ran(bubblewrap, folder), alone, few)
        yield compared("notebook in the docker cage / nbclient alone", ran(docker, folder), alone, few)


if __name__ == "__main__":
    main(__doc__ or "", measure, rounds=15)
