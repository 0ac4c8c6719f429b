"""JupyterLab for one lab: its settings, its token, and when it is ready."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx

from environments.course import COURSE_VARIABLE
from environments.errors import FootprintError, ToolError
from environments.jupyter.minded import minded
from environments.jupyter.workfolder import WorkFolder
from environments.paths import state_dir
from environments.supervisor.ports import Ports
from environments.supervisor.process import tail

LOOPBACK = "127.0.0.1"
READY_SECONDS = 90.0
POLL_SECONDS = 0.1
NEEDED = ("jupyterlab", "ipywidgets", "nbclient")
DESK = "desk.ipynb"
AUTHORS_EXTENSIONS = ("@jupyter/nbgrader",)


class Jupyter:
    """A JupyterLab that runs.

    Attributes:
        url: where to open it, token included.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    def wait(self) -> None:
        """Wait until it ends by itself, as by File → Shut Down.

        Raises:
            FootprintError: it failed.
        """
        if self._process.wait() != 0:
            raise FootprintError(f"JupyterLab failed:\n{tail(self._log)}", hint=f"The whole log is {self._log}.")


def need_jupyterlab() -> None:
    """Make sure that JupyterLab is installed.

    Raises:
        ToolError: it is not.
    """
    if not all(map(importlib.util.find_spec, NEEDED)):
        raise ToolError(
            "JupyterLab is not installed here.", hint="Install the course with it: pip install 'mod209[lab]'"
        )


@contextmanager
def jupyterlab(work: WorkFolder, address: str = LOOPBACK, port: int = 0) -> Iterator[Jupyter]:
    """JupyterLab on the work folder, until the context ends; then also its kernels and terminals are gone.

    Its settings are the course's own: what a learner has set elsewhere neither helps nor harms.

    Raises:
        FootprintError: one runs already for this lab, or it does not start.
    """
    home = state_dir() / "jupyter" / work.spec.slug
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(home, work.spec.slug)
    ports, token, log = Ports(), secrets.token_urlsafe(24), home / "jupyterlab.log"
    try:
        port = port or ports.reserve()
        _write_settings(home, work, token, address, port)
        argv = [sys.executable, "-P", "-m", "jupyterlab"]
        with (
            log.open("wb") as stream,
            minded(argv, env=_env(home, work), cwd=work.path, errors=stream, output=stream, keep=(lock,)) as process,
        ):
            os.close(lock)  # the minder holds it now, until the last process is gone
            lock = -1
            _await_ready(process, f"http://{LOOPBACK}:{port}", token, log)
            page = f"/lab/tree/{quote(DESK)}" if (work.path / DESK).exists() else "/lab"
            yield Jupyter(f"http://{LOOPBACK}:{port}{page}?token={token}", process, log)
    finally:
        ports.release()
        if lock >= 0:
            os.close(lock)


def _lock(home: Path, slug: str) -> int:
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FootprintError(
            f"JupyterLab runs already for {slug}.", hint="Use that one, or stop it with Ctrl-C where it was started."
        ) from None
    return descriptor


def _write_settings(home: Path, work: WorkFolder, token: str, address: str, port: int) -> None:
    """Settings as files that only their owner reads: command lines are for everybody on the machine to see."""
    server = {"ip": address, "port": port, "port_retries": 0, "open_browser": False, "root_dir": str(work.path)}
    root = {"allow_root": True} if os.geteuid() == 0 else {}
    quiet = {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"}
    _write(home, "jupyter_server_config.json", {"IdentityProvider": {"token": token}, "ServerApp": server | root})
    _write(home, "jupyter_lab_config.json", {"LabApp": quiet | {"extension_manager": "readonly"}})
    _write_front_end(home)


def _write_front_end(home: Path) -> None:
    """No question about news, which nobody fetches here, and none of the authors' tools."""
    folder = home / "labconfig"
    folder.mkdir(exist_ok=True)
    news = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    _write(folder, "default_setting_overrides.json", news)
    _write(folder, "page_config.json", {"disabledExtensions": dict.fromkeys(AUTHORS_EXTENSIONS, True)})


def _write(home: Path, name: str, content: object) -> None:
    part = home / f"{name}.part"
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream)
    part.replace(home / name)


def _env(home: Path, work: WorkFolder) -> dict[str, str]:
    own = {"JUPYTER_CONFIG_DIR": home, "JUPYTER_RUNTIME_DIR": home / "runtime", COURSE_VARIABLE: work.course}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER_", "JUPYTERLAB_"))}
    return kept | {name: str(value) for name, value in own.items()} | {"IPYTHONDIR": str(home / "ipython")}


def _await_ready(process: subprocess.Popen[bytes], url: str, token: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(base_url=url, headers={"Authorization": f"token {token}"}, trust_env=False) as client:
        while not _answers(client):
            if process.poll() is not None or time.monotonic() > deadline:
                raise FootprintError(f"JupyterLab did not start:\n{tail(log)}", hint=f"The whole log is {log}.")
            time.sleep(POLL_SECONDS)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/status").is_success
    except httpx.HTTPError:
        return False
