"""The caged root: what a learner's notebook finds when it looks around, whichever cage shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from environments.access import ACCESS_VARIABLE, NO_SELF_CHECK_VARIABLE
from graders.cage.base import MIB, Limits
from graders.cage.interpreter import Interpreter

HOME: Final = Path("/home/learner")
SCRATCH: Final = "/home/tmp"
ACCESS: Final = HOME / ".mod209" / "access.json"
COURSE: Final = Path("/opt/course")
ROOT_ONLY: Final = Path("/opt/cage/root-only")  # bait: canaries try to read it
_SHARED_MEMORY_BYTES: Final = 16 * MIB
_MERGED: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_FOLDERS: Final = ("/etc", "/opt", "/opt/cage", "/opt/course", "/opt/course/labs", "/run", "/var")


@dataclass(frozen=True)
class Layout:
    """A whole root, by paths inside. Nothing but `writable` can be written, by anyone.

    Attributes:
        folders: Empty folders that anyone may enter, each after those above it.
        links: Symbolic links, and where they lead.
        texts: Files of root's that anyone may read.
        secrets: Files of root's that root alone may read.
        shown: What is shown of the host, by its path there; files and folders.
        hidden: Folders within what is shown that must look empty.
        writable: Folders in memory that anyone may write to, and how many bytes each takes.
    """

    folders: tuple[Path, ...]
    links: dict[Path, Path]
    texts: dict[Path, str]
    secrets: dict[Path, str]
    shown: dict[Path, Path]
    hidden: tuple[Path, ...]
    writable: dict[Path, int]


def layout(python: Interpreter, limits: Limits, uids: Sequence[int], course: Path | None) -> Layout:
    """Describe the root: system and Python read-only, one folder in memory for all of the learner's files.

    Args:
        python: The interpreter to show.
        limits: What may be written.
        uids: Users that have the learner's name.
        course: A lab's public folder.
    """
    merged = [path for path in map(Path, _MERGED) if path.is_symlink()]
    inside = python.environment_inside
    links = {path: path.readlink() for path in merged}
    links |= {inside / "bin" / name: python.program for name in ("python", "python3")}
    config = f"home = {python.program.parent}\ninclude-system-site-packages = false\n"
    return Layout(
        folders=(*map(Path, _FOLDERS), *_chain(inside, python.packages_inside), inside / "bin", Path("/home")),
        links=links | {Path("/tmp"): Path(SCRATCH)},  # noqa: S108  # a path inside the cage
        texts=_accounts(uids) | {inside / "pyvenv.cfg": config},
        secrets={ROOT_ONLY: "not for learners"},
        shown=dict(_shown(python, course)),
        hidden=(*python.hidden(), *_unneeded(python)),
        writable={
            Path("/home"): limits.file_bytes,
            Path("/dev/shm"): min(limits.file_bytes, _SHARED_MEMORY_BYTES),  # noqa: S108
        },
    )


def environment(python: Interpreter) -> dict[str, str]:
    """The caged processes' whole environment; nothing of the host's is passed on."""
    variables = {
        "HOME": str(HOME),
        "USER": "learner",
        "LANG": "C.UTF-8",
        "TMPDIR": SCRATCH,
        "PATH": f"{python.environment_inside}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(COURSE),
        "PYTHONDONTWRITEBYTECODE": "1",
        ACCESS_VARIABLE: str(ACCESS),
        NO_SELF_CHECK_VARIABLE: "1",
        "IPYTHONDIR": str(HOME / ".ipython"),
        "JUPYTER_RUNTIME_DIR": f"{SCRATCH}/jupyter",
        "JUPYTER_PLATFORM_DIRS": "1",
        # Numerical libraries start a thread per core, which the process limit counts.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return variables | ({"LD_LIBRARY_PATH": python.library_path} if python.library_path else {})


def _shown(python: Interpreter, course: Path | None) -> Iterator[tuple[Path, Path]]:
    yield Path("/usr"), Path("/usr")
    for path in map(Path, _MERGED):
        if path.is_dir() and not path.is_symlink():
            yield path, path
    if (loader := Path("/etc/ld.so.cache")).exists():
        yield loader, loader
    if python.base_inside != python.base:
        yield python.base_inside, python.base
    yield python.packages_inside, python.packages
    yield COURSE / "environments", python.environments
    if course is not None:
        yield COURSE / "labs" / course.name, course.resolve()


def _unneeded(python: Interpreter) -> list[Path]:
    return [COURSE / "environments" / own for own in ("tests", "benchmarks") if (python.environments / own).is_dir()]


def _accounts(uids: Sequence[int]) -> dict[Path, str]:
    users = "".join(f"learner:x:{uid}:{uid}::{HOME}:/bin/sh\n" for uid in uids)
    groups = "".join(f"learner:x:{uid}:\n" for uid in uids)
    return {
        Path("/etc/passwd"): f"root:x:0:0::/:/usr/sbin/nologin\n{users}",
        Path("/etc/group"): f"root:x:0:\n{groups}",
        Path("/etc/nsswitch.conf"): "passwd: files\ngroup: files\nhosts: files\n",
        Path("/etc/hosts"): "127.0.0.1 localhost cage\n",
    }


def _chain(top: Path, bottom: Path) -> Iterator[Path]:
    """The folders between two, the top one first, without the bottom one."""
    yield from reversed([folder for folder in bottom.parents if folder.is_relative_to(top)])
