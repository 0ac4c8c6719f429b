"""Notebooks, submissions and servers for the tests of cages."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import nbformat
import pytest

from environments.errors import CageError
from graders.cage import BubblewrapCage, Cage, Limits
from graders.cage.confined import Confined, Program, Start, confine
from graders.cage.docker import DockerCage
from graders.cage.docker.daemon import daemon
from graders.cage.watch import Ending

_FORMAT: Any = nbformat  # its functions have no types


class ConfiningCage(Cage, Protocol):
    """A cage that can also run a bare program."""

    @property
    def start(self) -> Start: ...


def _why_no_docker() -> str:
    try:
        with daemon() as engine:
            engine.judge()
    except CageError as error:
        return f"{error.message}. {error.hint}"
    return ""


NO_DOCKER = _why_no_docker()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a cage gives its user a uid of its own, which needs root")
needs_docker = pytest.mark.skipif(bool(NO_DOCKER), reason=NO_DOCKER)
# A new cage joins the tests of all cages by one line here.
CAGES: list[Any] = [
    pytest.param(BubblewrapCage, id="bubblewrap", marks=needs_root),
    pytest.param(DockerCage, id="docker", marks=[needs_root, needs_docker]),
]

QUICK = Limits(memory_bytes=64 << 20, processes=16, cpu_seconds=20, wall_seconds=20, output_bytes=8 << 20)
# What every script here starts with: it takes its two descriptors, and can send a frame.
PRELUDE = """
import json, os, signal, socket, struct, sys, time
payload, results = int(sys.argv[1]), int(sys.argv[2])
def send(kind, body=b""):
    header = json.dumps({"kind": kind}).encode()
    data = struct.pack(">HI", len(header), len(body)) + header + body
    while data: data = data[os.write(results, data):]
"""
# Answers as JSON what a learner's code sees; {ungranted} and {granted} are ports of the host, {secret} a path on it.
LOOK = """
import ctypes, errno, json, os, socket, urllib.request
def fails(attempt):
    try: attempt()
    except Exception as error: return type(error).__name__
    return ""
def port(number): socket.create_connection(("127.0.0.1", number), timeout=3)
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
access = os.environ["MOD209_ACCESS"]
libc = ctypes.CDLL(None, use_errno=True)
print(json.dumps({{
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
    "capabilities": [status[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "privileges": status["NoNewPrivs"],
    "granted": urllib.request.urlopen("http://127.0.0.1:{granted}/hello", timeout=5).read().decode(),
    "ungranted": fails(lambda: port({ungranted})),
    "external": fails(lambda: socket.create_connection(("192.0.2.1", 80), timeout=3)),
    "dns": fails(lambda: socket.getaddrinfo("example.org", 443)),
    "access": open(access).read(), "access_mode": oct(os.stat(access).st_mode & 0o777),
    "secret": fails(lambda: open("{secret}")),
    "project": [path for path in {project} if os.path.exists(path)],
    "imports": [fails(lambda name=name: __import__(name)) for name in ("graders", "assessment", "solutions")],
    "environments": __import__("environments").__name__,
    "course": sorted(os.listdir("/opt/course/labs/zero-trust")),
    "course_write": fails(lambda: open("/opt/course/labs/zero-trust/x", "w")),
    "writes": [path for path in ("/", "/usr", "/etc", "/opt", "/opt/course", "/dev", "/dev/mqueue", "/proc", "/run", "/sys", "/var")
               if not fails(lambda: open(path + "/x", "w"))],
    "too_large": fails(lambda: [open("big%d" % i, "wb").write(bytes(1 << 24)) for i in range(12)]),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "ptrace": libc.ptrace(16, os.getppid(), 0, 0),
    "first": [fails(lambda: open("/proc/1/environ").read()), fails(lambda: os.listdir("/proc/1/fd"))],
    "runner": [fails(lambda: open(f"/proc/{{os.getppid()}}/mem", "rb")), fails(lambda: os.listdir(f"/proc/{{os.getppid()}}/fd"))],
    "killed": fails(lambda: os.kill(1, 9)),
    "starter": open("starter/policy.rego").read(),
    "host_variable": os.environ.get("MOD209_TEST_HOST_VARIABLE"),
}}))
"""


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


def caged(
    script: str,
    *,
    ports: Sequence[int] = (),
    payload: bytes = b"",
    limits: Limits = QUICK,
    start: Start | None = None,
    seen: Callable[[Confined, object], None] | None = None,
) -> Ending:
    """Run a script in a cage of its own."""
    program = Program(
        source=PRELUDE + script, payload=lambda _uid: payload, limits=limits, ports=tuple(ports), packages=False
    )
    return confine(start or BubblewrapCage().start, program, seen)


def proof_names(cage: Cage, told: str) -> None:
    """A weakened cage's proof fails, and names what got through."""
    with pytest.raises(CageError, match=told) as caught:
        cage.prove()
    assert caught.value.hint
    assert "granted port" not in caught.value.message  # that is, the canary itself was well
