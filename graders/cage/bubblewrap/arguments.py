"""The caged root as arguments for bwrap, and the memory files that they name by number."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from graders.cage.root import Layout

PROGRAM: Final = Path("/opt/cage/program.py")


@dataclass
class Arguments:
    """Collects bwrap's arguments."""

    files: ExitStack
    words: list[str] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def add(self, *words: str | Path | int) -> None:
        """Append words as they are."""
        self.words += map(str, words)

    def root(self, layout: Layout, program: str) -> None:
        """Make a root and put a program into it; nothing can be added afterwards."""
        for folder in layout.folders:
            # bwrap's own default shuts the caged user out.
            self.add("--perms", "0755", "--dir", folder)
        for inside, outside in layout.shown.items():
            self.add("--ro-bind", outside, inside)
        for path, target in layout.links.items():
            self.add("--symlink", target, path)
        for folder in layout.hidden:
            self.add("--tmpfs", folder)
        self.add("--proc", "/proc", "--dev", "/dev")
        for path, text in (layout.texts | {PROGRAM: program}).items():
            self.text(path, text, "0444")
        for path, text in layout.secrets.items():
            self.text(path, text, "0600")
        for folder, size in layout.writable.items():
            self.add("--size", size, "--perms", "1777", "--tmpfs", folder)
        self.add("--remount-ro", "/", "--chdir", "/home")

    def text(self, inside: Path, text: str, mode: str) -> None:
        """Make a read-only file of root's."""
        self.add("--perms", mode, "--ro-bind-data", self.memory(text.encode()), inside)

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
