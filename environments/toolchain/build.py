"""Build a tool from source by Go; the `go.sum` of its wrapper module says which source is the right one."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Final

from environments.errors import StorageError, ToolError
from environments.supervisor.process import tail
from environments.toolchain.catalog import MODULES, architecture, spec_of
from environments.toolchain.child import run
from environments.toolchain.golang import Go, find_go
from environments.toolchain.store import flock, storage
from environments.toolchain.task import Task
from environments.toolchain.tool import Stage, Tool, UnavailableError
from environments.toolchain.workshop import compiling, environment, fetching, make_folders, workshop

_BUILD_SECONDS: Final = 3600.0
_DOWNLOAD_SECONDS: Final = 600.0
_DOWNLOADS: Final = 32
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
    go = find_go(task)
    _fetch(go, task)
    with flock(compiling(), task.cancel, task.waiting), storage(task.slot.folder), task.slot.partial() as binary:
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
        with flock(compiling(), task.cancel, task.waiting), storage(target.parent):
            go = find_go(task)
            make_folders()
            argv = [str(go.path), "mod", "download", "-json", module]
            ended = subprocess.run(
                argv,
                env=environment(go, task),
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


def _fetch(go: Go, task: Task) -> None:
    """Get the source that the build needs, while another tool is compiled; what fails here fails in the build, with its reason."""
    with flock(fetching(), task.cancel, task.waiting), storage(workshop()):
        make_folders()
        run(
            [str(go.path), "list", "-deps", *_tags(task), task.spec.build.package],
            # It downloads as many modules at once as it believes to have cores.
            env={**environment(go, task), "GOMAXPROCS": str(_DOWNLOADS)},
            cwd=MODULES / task.spec.build.module,
            log=workshop() / f"{task.name}.log",
            timeout=_DOWNLOAD_SECONDS,
            tick=lambda: task.report(Stage.BUILDING, note="getting its source"),
        )


def _compile(go: Go, task: Task, binary: Path) -> None:
    log = workshop() / f"{task.name}.log"
    make_folders()  # another process may have ended its builds since the source was fetched
    status = run(
        [str(go.path), "build", *_flags(task), "-o", str(binary), task.spec.build.package],
        env=environment(go, task),
        cwd=MODULES / task.spec.build.module,
        log=log,
        timeout=_BUILD_SECONDS,
        tick=lambda: task.report(Stage.BUILDING, done=log.read_bytes().count(b"\n")),
    )
    if status != 0:
        raise _failure(task, status, log)


def _tags(task: Task) -> list[str]:
    return ["-tags", task.spec.build.tags] if task.spec.build.tags else []


def _flags(task: Task) -> list[str]:
    spec = task.spec.build
    stamp = f" -X {spec.stamp}=v{task.spec.version}" if spec.stamp else ""
    return ["-v", "-trimpath", "-buildvcs=false", *_tags(task), "-ldflags", f"-s -w{stamp}"]


def _failure(task: Task, status: int | None, log: Path) -> Exception:
    end = tail(log)
    if any(words in end.lower() for words in _DISK_FULL):
        return StorageError(
            f"The disk is full: {task.name} could not be built in {log.parent}.",
            hint="Free about 4 GB, or set MOD209_CACHE to a folder on another disk.",
        )
    how = "did not end in an hour" if status is None else f"failed (exit status {status})"
    return UnavailableError(f"go build {how}:\n{end}", hint=_HINT)
