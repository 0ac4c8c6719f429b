"""Runs in the cage, alone: unpack the job, run its notebooks, and write each executed notebook to the results pipe.

It imports nothing of this project. A hostile notebook runs as the same user: it can end this process, but not look into
it or write to its pipes. The outside trusts neither. Limits in here are a courtesy, so that one bad cell does not cost
a learner the whole run.
"""

from __future__ import annotations

import asyncio
import ctypes
import io
import json
import os
import signal
import struct
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

# nbformat has jsonschema check formats where it can, and this one costs a second of CPU to import; nobody needs it here.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

import nbformat  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from traitlets.config import Config  # noqa: E402

NOTEBOOKS: Any = nbformat  # its functions have no types
# Compiling the schema takes longer than many a notebook. The outside has made these ones itself, and believes no output.
NOTEBOOKS.v4.nbbase.validate = lambda *_args, **_options: None
CELL_OUTPUT = 1 << 20  # bytes of output that one cell may leave in its notebook
GRACE_SECONDS = 5.0  # between the interrupt of a cell and the end of its kernel
PR_SET_DUMPABLE = 4
OUTPUTS = {"stream", "display_data", "execute_result", "error", "update_display_data"}


class CagedNotebook(NotebookClient):
    """A notebook whose cells are interrupted when they run, or print, for too long."""

    cell_seconds = 0.0
    _printed = 0

    async def async_execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        """Run a cell under a clock."""
        self._printed = 0
        watch = asyncio.ensure_future(self._watch(cell))
        try:
            return await super().async_execute_cell(cell, cell_index, *args, **kwargs)
        finally:
            watch.cancel()

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Keep what a cell prints, up to a bound."""
        if msg["msg_type"] not in OUTPUTS:
            return super().process_message(msg, cell, cell_index)
        before = self._printed
        self._printed += len(str(msg["content"]))
        if self._printed <= CELL_OUTPUT:
            return super().process_message(msg, cell, cell_index)
        if before <= CELL_OUTPUT:
            _note(cell, "The cell was stopped: it printed too much. The rest of its output is left out.")
            self._stopping = asyncio.ensure_future(self._stop())
        return None

    async def _watch(self, cell: Any) -> None:
        await asyncio.sleep(self.cell_seconds)
        _note(cell, f"The cell was interrupted after {self.cell_seconds:g} s.")
        await self._stop()

    async def _stop(self) -> None:
        kernel: Any = self.km
        stopped = self.task_poll_for_reply
        await kernel.interrupt_kernel()
        await asyncio.sleep(GRACE_SECONDS)
        if stopped and not stopped.done():
            await kernel.signal_kernel(signal.SIGKILL)


def main() -> None:
    """Take the job from the first descriptor, and write frames to the second."""
    payload, results = int(sys.argv[1]), int(sys.argv[2])
    # From here on neither memory nor descriptors of this process can be opened by others of its user, such as a kernel.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o077)
    os.set_inheritable(results, False)  # noqa: FBT003  # takes no keywords
    Path(os.environ["TMPDIR"]).mkdir()
    with os.fdopen(payload, "rb") as stream:
        job = unpack(stream)
    send(results, "ready")
    for name in job["notebooks"]:
        body, problem = run(Path(os.environ["HOME"]) / "work" / name, job["cell_seconds"])
        send(results, "notebook", name=name, problem=problem, body=body)
    send(results, "done")


def unpack(stream: io.BufferedReader) -> dict[str, Any]:
    """Put the submission into the work folder and the access file in its place; return what to run."""
    home = Path(os.environ["HOME"])
    with tarfile.open(fileobj=stream) as archive:
        for entry in archive:  # regular files only, packed by us; `extractall` has no filter yet in Debian 12's Python
            content = archive.extractfile(entry)
            path = home / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read() if content else b"")
    access = Path(os.environ["MOD209_ACCESS"])
    access.parent.mkdir()
    job: dict[str, Any] = json.loads((home / "job.json").read_text())
    (home / "job.json").unlink()
    access.write_text(job.pop("access"))
    return job


def run(path: Path, cell_seconds: float) -> tuple[bytes, str]:
    """The executed notebook, and why it was not run to its end (empty if it was)."""
    try:
        notebook = NOTEBOOKS.v4.reads(path.read_text(encoding="utf-8"))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a learner's file, the next one is run
        return b"", f"cannot be read: {_named(error)}"
    problem = ""
    try:
        client(notebook, path.parent, cell_seconds).execute()
    except Exception as error:  # noqa: BLE001  # likewise
        problem = _named(error)
    with suppress(Exception):
        return bytes(NOTEBOOKS.v4.writes(notebook).encode("utf-8", "replace")), problem
    return b"", problem or "cannot be written"


def client(notebook: Any, folder: Path, cell_seconds: float) -> CagedNotebook:
    """A client with a fresh kernel that starts fast and talks over sockets in the file system."""
    made = CagedNotebook(
        notebook,
        kernel_name="python3",
        allow_errors=True,
        record_timing=False,
        timeout=None,
        startup_timeout=60,
        shutdown_kernel="immediate",
        extra_arguments=["--HistoryManager.enabled=False"],
        resources={"metadata": {"path": str(folder)}},
        # Over TCP, jupyter_client first looks up all addresses of the machine. Here `ip` is a path: kernel and client
        # have different working folders, and the default is relative.
        # The kernel is the interpreter's own: looking for others would import IPython here, which costs as much again.
        config=Config(
            {
                "KernelManager": {"transport": "ipc", "ip": f"{os.environ['TMPDIR']}/kernel"},
                "KernelSpecManager": {"kernel_dirs": []},
            }
        ),
    )
    made.cell_seconds = cell_seconds
    return made


def send(results: int, kind: str, *, name: str = "", problem: str = "", body: bytes = b"") -> None:
    """Write one frame: lengths of header and body, header, body."""
    header = json.dumps({"kind": kind, "name": name, "problem": problem[:300]}).encode()
    rest = memoryview(struct.pack(">HI", len(header), len(body)) + header + body)
    while rest:
        rest = rest[os.write(results, rest) :]


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _note(cell: Any, text: str) -> None:
    cell.outputs.append(NOTEBOOKS.v4.new_output("stream", name="stderr", text=f"{text}\n"))


if __name__ == "__main__":
    main()
