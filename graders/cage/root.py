"""The caged root: what a learner's notebook finds when it looks around, as arguments for bwrap."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from environments.access import ACCESS_VARIABLE, NO_SELF_CHECK_VARIABLE
from graders.cage.base import MIB, Limits
from graders.cage.interpreter import Interpreter

HOME: Final = Path("/home/learner")
SCRATCH: Final = "/home/tmp"
ACCESS: Final = HOME / ".mod209" / "access.json"
COURSE: Final = Path("/opt/course")
PROGRAM: Final = Path("/opt/cage/program.py")
_SHARED_MEMORY_BYTES: Final = 16 * MIB
_MERGED: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_FOLDERS: Final = ("/etc", "/opt", "/opt/cage", "/opt/course", "/opt/course/labs", "/run", "/var")


@dataclass
class Root:
    """Collects bwrap's arguments, and the memory files that they name by number."""

    files: ExitStack
    arguments: list[str] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def add(self, *arguments: str | Path | int) -> None:
        """Append arguments as they are."""
        self.arguments += map(str, arguments)

    def show(self, outside: Path, inside: Path | str) -> None:
        """Show a host's file or folder read-only."""
        self.add("--ro-bind", outside, inside)

    def folders(self, paths: Iterable[Path | str]) -> None:
        """Make folders that anyone may enter; bwrap's own default shuts the caged user out."""
        for path in paths:
            self.add("--perms", "0755", "--dir", path)

    def text(self, inside: Path | str, text: str, mode: str = "0444") -> None:
        """Make a read-only file of root's."""
        self.add("--perms", mode, "--ro-bind-data", self.memory(text.encode()), inside)

    def close(self) -> None:
        """Let nothing be added to the root any more."""
        self.add("--remount-ro", "/", "--chdir", "/home")

    def memory(self, data: bytes) -> int:
        """A file in memory with these bytes, which bwrap and the cage inherit; nothing can change it."""
        descriptor = memory_file(data)
        self.files.callback(os.close, descriptor)
        self.descriptors.append(descriptor)
        return descriptor


def memory_file(data: bytes) -> int:
    """A sealed file in memory, at its beginning; the caller closes it."""
    descriptor = os.memfd_create("cage", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return descriptor


def furnish(root: Root, python: Interpreter, limits: Limits, uid: int, program: str, course: Path | None) -> None:
    """Describe the whole root: system and Python read-only, one writable tmpfs for all of the learner's files."""
    _system(root)
    root.folders(_FOLDERS)
    _accounts(root, uid)
    _python(root, python)
    root.show(python.environments, COURSE / "environments")
    for own in ("tests", "benchmarks"):
        if (python.environments / own).is_dir():
            root.add("--tmpfs", COURSE / "environments" / own)
    if course is not None:
        root.show(course.resolve(), COURSE / "labs" / course.name)
    root.text(PROGRAM, program)
    root.add("--size", limits.file_bytes, "--perms", "1777", "--tmpfs", "/home")
    root.add("--symlink", SCRATCH, "/tmp")  # noqa: S108  # a path inside the cage
    root.add("--size", min(limits.file_bytes, _SHARED_MEMORY_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm")  # noqa: S108


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


def _system(root: Root) -> None:
    root.show(Path("/usr"), "/usr")
    for name in _MERGED:
        path = Path(name)
        if path.is_symlink():
            root.add("--symlink", path.readlink(), name)
        elif path.is_dir():
            root.show(path, name)
    root.add("--proc", "/proc", "--dev", "/dev")


def _accounts(root: Root, uid: int) -> None:
    root.text("/etc/passwd", f"root:x:0:0::/:/usr/sbin/nologin\nlearner:x:{uid}:{uid}::{HOME}:/bin/sh\n")
    root.text("/etc/group", f"root:x:0:\nlearner:x:{uid}:\n")
    root.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    root.text("/etc/hosts", "127.0.0.1 localhost cage\n")
    if (loader := Path("/etc/ld.so.cache")).exists():
        root.show(loader, loader)


def _python(root: Root, python: Interpreter) -> None:
    if python.base_inside != python.base:
        root.show(python.base, python.base_inside)
    inside = python.environment_inside
    root.folders(_chain(inside, python.packages_inside.parent))
    root.folders([inside / "bin"])
    root.text(inside / "pyvenv.cfg", f"home = {python.program.parent}\ninclude-system-site-packages = false\n")
    for name in ("python", "python3"):
        root.add("--symlink", python.program, inside / "bin" / name)
    root.show(python.packages, python.packages_inside)
    for folder in python.hidden():
        root.add("--tmpfs", folder)


def _chain(top: Path, bottom: Path) -> Sequence[Path]:
    return [*reversed([folder for folder in bottom.parents if folder.is_relative_to(top)]), bottom]
