"""Runs notebooks from top to bottom in kernels of their own, as grading does: `python -m environments.jupyter.runner`.

Its arguments are the seconds that a cell may take and the notebooks' names; it runs in their folder, writes them back with
their outputs, and tells of each cell by a JSON line on standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS: Any = nbformat  # its functions have no types


def run(name: str, cell_seconds: int) -> None:
    """Run one notebook; a cell that fails is no reason to stop, since grading does not stop either."""
    notebook = NOTEBOOKS.read(name, as_version=4)
    total = len(notebook.cells)
    client: Any = NotebookClient(
        notebook,
        kernel_name="python3",
        allow_errors=True,
        timeout=cell_seconds,
        interrupt_on_timeout=True,
        record_timing=False,
        shutdown_kernel="immediate",
        extra_arguments=["--HistoryManager.enabled=False"],
        resources={"metadata": {"path": "."}},
        on_cell_start=lambda cell_index, **_: tell(notebook=name, cell=cell_index + 1, of=total),
    )
    client.execute()
    NOTEBOOKS.write(notebook, name)


def tell(**news: object) -> None:
    """One line for whoever started us."""
    print(json.dumps(news), flush=True)


if __name__ == "__main__":
    for notebook_name in sys.argv[2:]:
        try:
            run(notebook_name, int(sys.argv[1]))
        except Exception as error:  # noqa: BLE001 - a dead kernel in one notebook must not cost the others
            tell(notebook=notebook_name, problem=f"{type(error).__name__}: {str(error)[:300]}")
