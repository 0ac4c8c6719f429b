"""Ask a binary which version it is, and remember the answers of those on `PATH`."""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from environments.toolchain.catalog import ToolSpec
from environments.toolchain.store import tools_dir, write_atomically

ANSWER_SECONDS: Final = 20.0
_BUSY_TRIES: Final = 50
_MEMORY: Final = "path-versions.json"


def ask(path: Path, spec: ToolSpec) -> str | None:
    """The version that the binary at `path` says it is; None when it does not run or says none."""
    if spec.ask is None:
        return _built_from(path, spec.answer)
    try:
        ended = _run([str(path), *spec.ask])
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(spec.answer, ended.stdout or ended.stderr, re.MULTILINE)  # some tell it as an error
    return found.group(1) if found and ended.returncode == 0 else None


def on_path(name: str, spec: ToolSpec) -> Path | None:
    """The first binary called `name` on `PATH` that has the right version."""
    return next((path for path in candidates(name) if _remembered(path, spec) == spec.version), None)


def candidates(name: str) -> Iterator[Path]:
    """Every executable file called `name` on `PATH`, in order; relative entries are passed over."""
    for entry in dict.fromkeys(os.get_exec_path()):
        path = Path(entry, name)
        if path.is_absolute() and path.is_file() and os.access(path, os.X_OK):
            yield path


def _built_from(path: Path, answer: str) -> str | None:
    """What the modules that Go wrote into the binary match of `answer`; they stand there as plain lines of text."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = re.search(answer.encode(), content, re.MULTILINE)
            return found.group(1).decode() if found else None
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    # Nothing of the user's environment: a kubeconfig or VAULT_* has no say in a version.
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    for attempt in range(_BUSY_TRIES):
        try:
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ANSWER_SECONDS,
                env=environment,
                check=False,
            )
        except OSError as error:
            # A child that another thread is just starting may still hold our write descriptor of a fresh binary.
            if error.errno != errno.ETXTBSY or attempt == _BUSY_TRIES - 1:
                raise
            time.sleep(0.02)
    raise AssertionError("unreachable")


def _remembered(path: Path, spec: ToolSpec) -> str | None:
    """As `ask`, but a binary that did not change since it last answered is not started again."""
    stat = path.stat()
    seen = [stat.st_size, stat.st_mtime_ns, list(spec.ask or (spec.answer,))]
    memory = _load()
    known = memory.get(str(path))
    if isinstance(known, dict) and known.get("seen") == seen:
        version = known.get("version")
        return version if isinstance(version, str) else None
    answer = ask(path, spec)
    try:
        write_atomically(tools_dir() / _MEMORY, json.dumps({**_load(), str(path): {"seen": seen, "version": answer}}))
    except OSError:
        return answer  # a cache that cannot be written costs time only
    return answer


def _load() -> dict[str, object]:
    try:
        data = json.loads((tools_dir() / _MEMORY).read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
