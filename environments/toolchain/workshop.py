"""Where tools are built: one folder for all builds, what a `go` at work there is told, and its removal."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Final

from environments.paths import cache_dir
from environments.toolchain.golang import Go
from environments.toolchain.store import flock
from environments.toolchain.task import Task
from environments.toolchain.tool import CancelledError

_FOLDERS: Final = ("gopath", "mod", "cache", "tmp")


def workshop() -> Path:
    """One folder for all builds, so that kube-apiserver and kubectl compile what they share once."""
    return cache_dir() / "build"


def compiling() -> Path:
    """The lock of whoever compiles: one at a time, because go uses all cores."""
    return cache_dir() / "build.lock"


def fetching() -> Path:
    """The lock of whoever fetches source: one at a time, because what is next to be compiled should be whole first."""
    return cache_dir() / "fetch.lock"


def make_folders() -> None:
    """Make the workshop, where it is not there yet."""
    for folder in _FOLDERS:
        (workshop() / folder).mkdir(parents=True, exist_ok=True)


def discard_workshop() -> None:
    """Remove the caches of builds, unless somebody is at work there or `MOD209_KEEP_BUILD=1`."""
    if os.environ.get("MOD209_KEEP_BUILD") == "1" or not workshop().exists():
        return
    busy = threading.Event()
    try:
        with flock(fetching(), busy, busy.set), flock(compiling(), busy, busy.set):
            shutil.rmtree(workshop(), ignore_errors=True)
    except CancelledError:
        return  # another process builds there, and will remove it


def environment(go: Go, task: Task) -> dict[str, str]:
    """What a `go` that works in the workshop is told: the user's proxies, folders of our own, and `go.sum` held to."""
    user = go.user_setting("GOPROXY", "GOMODCACHE")
    return {
        **go.environment(),
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": task.arch,
        # -modcacherw, because Go's module cache is otherwise read-only, and could not simply be removed.
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOPATH": str(workshop() / "gopath"),
        "GOMODCACHE": str(workshop() / "mod"),
        "GOCACHE": str(workshop() / "cache"),
        "GOTMPDIR": str(workshop() / "tmp"),
        "GOPROXY": proxy(user["GOPROXY"], Path(user["GOMODCACHE"])),
    }


def proxy(users: str, modules: Path) -> str:
    """The user's `GOPROXY`, with what the user's module cache already holds in front of it.

    Go checks every module against go.sum wherever it comes from, so that cache needs no trust.
    """
    cached = modules / "cache" / "download"
    if not modules.is_absolute() or not cached.is_dir():
        return users
    address = cached.as_uri().replace(",", "%2C").replace("|", "%7C")
    return f"{address},{users}" if users else address
