"""Whether Falco may watch what runs in pods here: what kernel and machine allow, and where its image comes from.

A reason why not is part of a sentence, without its full stop; learners read it as the reason of verdicts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from environments.errors import BadInputError, CourseError
from environments.kind import images
from environments.kind.engine import failures
from environments.kind.nodeimage.sources import has, pulled

OVERRIDE_VARIABLE: Final = "MOD209_FALCO_IMAGE"
# Falco 0.45.0, by digest, or a tag could be moved.
STOCK: Final = "falcosecurity/falco@sha256:788f1129c542171813083d4afc61b16730a47dde8c23d9c39370acef996349b6"
NAME: Final = "falco"
KERNEL: Final = (5, 8)  # its ring buffers
BTF: Final = "kernel/btf/vmlinux"
# To load programs into the kernel, attach them, look at other processes, and lock memory. Their numbers are the kernel's.
CAPABILITIES: Final = {"BPF": 39, "PERFMON": 38, "SYS_PTRACE": 19, "SYS_RESOURCE": 24}
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Falco's image as nodes call it, or the reason why there is none."""

    image: str = ""
    reason: str = ""


def obstacle(proc: Path = Path("/proc"), system: Path = Path("/sys")) -> str:
    """What keeps Falco's driver from running on the machine with these /proc and /sys; empty if nothing does."""
    release = (proc / "sys/kernel/osrelease").read_text().strip()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if not numbers or tuple(map(int, numbers.groups())) < KERNEL:
        return f"the kernel is {release}, and Falco needs {'.'.join(map(str, KERNEL))}"
    if not (system / BTF).is_file():
        return f"the kernel tells nothing of its types (no {system / BTF}), which Falco needs"
    held = re.search(r"^CapBnd:\s*([0-9a-f]+)", (proc / "self/status").read_text(), re.MULTILINE)
    mask = int(held.group(1), 16) if held else 0
    if lacking := [f"CAP_{name}" for name, bit in CAPABILITIES.items() if not mask >> bit & 1]:
        return f"{', '.join(lacking)} is out of reach on this machine, which Falco needs"
    return ""


def choose(engine: Any, progress: Progress, examined: Callable[[], str] = obstacle) -> Choice:
    """Examine the machine, and bring the image where nodes find it. `engine` is a `docker.DockerClient`.

    Order: `MOD209_FALCO_IMAGE`; the publisher's, if the daemon has it; the publisher's, pulled.

    Raises:
        BadInputError: the image that `MOD209_FALCO_IMAGE` names is not there.
    """
    if reason := examined():
        return Choice(reason=reason)
    named = os.environ.get(OVERRIDE_VARIABLE)
    if named and not has(engine, named):
        raise BadInputError(f"Docker has no image {named}.", hint=f"Pull or build it, or unset {OVERRIDE_VARIABLE}.")
    name = named or (STOCK if has(engine, STOCK) else pulled(engine, STOCK, progress, "Falco"))
    if not name:
        return Choice(reason="Falco's image is not here, and its publisher's registry is out of reach")
    try:
        return Choice(image=_packed(engine, name))
    except (CourseError, OSError) as error:
        return Choice(reason=f"Falco's image could not be written to {images.folder()}: {error}")


def archive(image: str) -> Path:
    """Where the archive of an image lies that `choose` chose."""
    return images.folder() / f"{NAME}-{image.rpartition(':')[2]}.tar"


def _packed(engine: Any, name: str) -> str:
    """Write the archive of an image where there is none; returns what nodes call it."""
    with failures():
        image = engine.images.get(name)
        tag = image.id.removeprefix("sha256:")[:12]
        path = archive(reference := images.reference(NAME, tag))
        if path.exists():
            return reference
        # Of an image that was pulled by its digest an archive would tell no name.
        image.tag(f"mod209/{NAME}", tag)
        image.reload()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".part-{os.getpid()}")
        try:
            with part.open("wb") as stream:
                stream.writelines(image.save(named=f"mod209/{NAME}:{tag}"))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return reference
