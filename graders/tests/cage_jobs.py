"""Notebooks, submissions and servers for the tests of cages."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat

_FORMAT: Any = nbformat  # its functions have no types


def submission(folder: Path, **notebooks: list[str]) -> Path:
    """A folder with notebooks; each is a list of code cells."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, cells in notebooks.items():
        made = _FORMAT.v4.new_notebook(cells=[_FORMAT.v4.new_code_cell(cell) for cell in cells])
        (folder / f"{name}.ipynb").write_text(_FORMAT.writes(made))
    return folder


def shown(notebook: bytes) -> list[str]:
    """What each code cell printed, or the name of the error that ended it."""
    cells = json.loads(notebook)["cells"]
    return ["".join(map(_text, cell["outputs"])) for cell in cells]


def _text(output: dict[str, Any]) -> str:
    if output["output_type"] == "error":
        return str(output["ename"])
    return "".join(output.get("text", ()))


def running(token: str) -> list[int]:
    """Pids on the host whose command line holds a token."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def eventually(holds: Callable[[], object], seconds: float = 20) -> bool:
    """Whether something becomes true before a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        threading.Event().wait(0.02)
    return bool(holds())


@contextmanager
def server(answer: Callable[[str], str]) -> Iterator[int]:
    """An HTTP server on the host's loopback that answers each path; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer(self.path).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield listening.server_port
        listening.shutdown()
