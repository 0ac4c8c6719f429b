"""Build a tool from source by Go; the `go.sum` of its wrapper module says which source is the right one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Final

from environments.errors import StorageError, ToolError
from environments.paths import cache_dir
from environments.supervisor.process import tail
from environments.toolchain.catalog import MODULES, BuildSpec, architecture, spec_of
from environments.toolchain.child import run
from environments.toolchain.golang import Go, find_go
from environments.toolchain.store import flock, storage
from environments.toolchain.task import Task
from environments.toolchain.tool import CancelledError, Stage, Tool, UnavailableError

_BUILD_SECONDS: Final = 3600.0
_DOWNLOAD_SECONDS: Final = 600.0
_DISK_FULL: Final = ("no space left on device", "disk quota exceeded", "file too large")
_HINT: Final = (
    "The source comes through Go's module proxy (GOPROXY): connect to it and try again, "
    "or name a folder or mirror with the binaries in MOD209_TOOLS."
)


def build(task: Task) -> Tool:
    """Build and install a tool; one build at a time, because go uses all cores.

    Raises:
        UnavailableError: no Go, or the build failed; the reason has the end of the log.
        StorageError: the disk is full.
    """
    with flock(_lock(), task.cancel, task.waiting):
        go = find_go(task)
        with storage(task.slot.folder), task.slot.partial() as binary:
            _compile(go, task, binary)
            return task.accept(binary, source="built", origin=f"go{go.version}, {task.spec.build.package}")


def copy_source(name: str, module: str, inside: str, target: Path) -> None:
    """Copy the folder `inside` of a Go module that the tool `name` is built from; its `go.sum` says which source is right.

    Raises:
        ToolError: there is no Go, or the module cannot be had.
        StorageError: the disk is full.
    """
    task = Task(name=name, spec=spec_of(name), arch=architecture(), cancel=threading.Event(), tell=lambda _: None)
    try:
        with flock(_lock(), task.cancel, task.waiting), storage(target.parent):
            go, workshop = find_go(task), _workshop()
            _make_folders(workshop)
            argv = [str(go.path), "mod", "download", "-json", module]
            ended = subprocess.run(
                argv,
                env=_environment(go, task, workshop),
                cwd=MODULES / task.spec.build.module,
                capture_output=True,
                text=True,
                timeout=_DOWNLOAD_SECONDS,
                check=True,
            )
            shutil.copytree(Path(json.loads(ended.stdout)["Dir"]) / inside, target, copy_function=shutil.copyfile)
    except UnavailableError as error:
        raise ToolError(f"The source of {name} cannot be had: {error.reason}", hint=error.hint) from None
    except (subprocess.SubprocessError, KeyError, ValueError) as error:
        raise ToolError(f"The source of {name} cannot be had: {type(error).__name__}.", hint=_HINT) from None


def discard_workshop() -> None:
    """Remove the caches of builds, unless a build is running or `MOD209_KEEP_BUILD=1`."""
    if os.environ.get("MOD209_KEEP_BUILD") == "1" or not _workshop().exists():
        return
    busy = threading.Event()
    try:
        with flock(_lock(), busy, busy.set):
            shutil.rmtree(_workshop(), ignore_errors=True)
    except CancelledError:
        return  # another process builds there, and will remove it


def _workshop() -> Path:
    """One folder for all builds, so that kube-apiserver and kubectl compile what they share once."""
    return cache_dir() / "build"


def _lock() -> Path:
    return cache_dir() / "build.lock"


def _compile(go: Go, task: Task, binary: Path) -> None:
    workshop = _workshop()
    log = workshop / f"{task.name}.log"
    _make_folders(workshop)
    status = run(
        [str(go.path), *_arguments(task.spec.build, task.spec.version), "-o", str(binary), task.spec.build.package],
        env=_environment(go, task, workshop),
        cwd=MODULES / task.spec.build.module,
        log=log,
        timeout=_BUILD_SECONDS,
        tick=lambda: task.report(Stage.BUILDING, done=log.read_bytes().count(b"\n")),
    )
    if status != 0:
        raise _failure(task, status, log)


def _make_folders(workshop: Path) -> None:
    for folder in ("gopath", "mod", "cache", "tmp"):
        (workshop / folder).mkdir(parents=True, exist_ok=True)


def _arguments(spec: BuildSpec, version: str) -> list[str]:
    stamp = f" -X {spec.stamp}=v{version}" if spec.stamp else ""
    tags = ["-tags", spec.tags] if spec.tags else []
    return ["build", "-v", "-trimpath", "-buildvcs=false", *tags, "-ldflags", f"-s -w{stamp}"]


def _environment(go: Go, task: Task, workshop: Path) -> dict[str, str]:
    user = go.user_setting("GOPROXY", "GOMODCACHE")
    return {
        **go.environment(),
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": task.arch,
        # -modcacherw, because Go's module cache is otherwise read-only, and could not simply be removed.
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOPATH": str(workshop / "gopath"),
        "GOMODCACHE": str(workshop / "mod"),
        "GOCACHE": str(workshop / "cache"),
        "GOTMPDIR": str(workshop / "tmp"),
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


def _failure(task: Task, status: int | None, log: Path) -> Exception:
    end = tail(log)
    if any(words in end.lower() for words in _DISK_FULL):
        return StorageError(
            f"The disk is full: {task.name} could not be built in {log.parent}.",
            hint="Free about 4 GB, or set MOD209_CACHE to a folder on another disk.",
        )
    how = "did not end in an hour" if status is None else f"failed (exit status {status})"
    return UnavailableError(f"go build {how}:\n{end}", hint=_HINT)
