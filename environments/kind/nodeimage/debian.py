"""Debian under the node image: its smallest system, and the packages on top, from the mirror that this machine's apt uses."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from environments.errors import FootprintError, StorageError
from environments.kind.nodeimage.inputs import FILES
from environments.supervisor.process import tail
from environments.toolchain.child import run

SUITE: Final = "trixie"
DEBIAN: Final = f"mod209/debian:{SUITE}"
USERLAND: Final = f"mod209/userland:{SUITE}"
PACKAGES: Final = f"mod209/node-packages:{SUITE}"
RECIPE_LABEL: Final = "mod209.recipe"
FRESH: Final = timedelta(days=30)  # what is older lacks too many of Debian's mended holes
APT_SECONDS: Final = 60.0
BOOTSTRAP_SECONDS: Final = 1800.0
WASTE: Final = ("var/lib/apt/lists", "var/cache/apt/archives", "usr/share/doc", "usr/share/man", "usr/share/locale")
ELSEWHERE: Final = "Pull kindest/node, or bring an archive of the image in the folder MOD209_TOOLS."
DISK_FULL: Final = ("no space left", "disk quota exceeded")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Repository:
    """One of apt's: its address, the suite asked of it, and who says that it is theirs."""

    address: str
    suite: str
    origin: str
    label: str


def layers(engine: Any, folder: Path, progress: Progress) -> None:
    """Have the images `DEBIAN`, `USERLAND` and `PACKAGES`, none of an older Debian than `FRESH`; `folder` is for scratch.

    Raises:
        FootprintError: this is no Debian machine, debootstrap is missing or failed, or Docker did.
        StorageError: the disk is full.
    """
    known = repositories()
    if not is_fresh(engine):
        progress("node image: Debian's base system")
        bootstrap(engine, folder, _mirror(known))
    context = folder / "context"
    shutil.copytree(FILES, context)
    (context / "sources.list").write_text("\n".join(sources(known)) + "\n")
    progress("node image: Debian packages")
    docker_build(engine, context, "Dockerfile.userland", USERLAND, network_mode="host")
    docker_build(engine, context, "Dockerfile.packages", PACKAGES, network_mode="host")


def repositories() -> list[Repository]:
    """What this machine's apt uses of Debian's own.

    Raises:
        FootprintError: there is no apt, it does not answer, or it knows nothing of Debian's.
    """
    fields = "$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(LABEL)"
    try:
        argv = ["apt-get", "indextargets", "--format", fields]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=APT_SECONDS, check=True)
    except OSError:
        raise FootprintError("Only a Debian machine can build the node image.", hint=ELSEWHERE) from None
    except subprocess.SubprocessError:
        raise FootprintError(
            "apt does not say which mirrors it uses.", hint=f"Look what is amiss, as root: apt-get update. {ELSEWHERE}"
        ) from None
    lines = [line.split("|") for line in ended.stdout.splitlines() if line.count("|") == fields.count("|")]
    found = dict.fromkeys(Repository(one[0].strip().rstrip("/"), *one[1:]) for one in lines)
    return [one for one in found if one.origin == "Debian"]


def _mirror(known: list[Repository]) -> str:
    for one in known:
        if one.label == "Debian" and "-" not in one.suite:  # neither -updates nor -backports
            return one.address
    raise FootprintError(
        "This machine's apt knows no repository of Debian's own, which the node image is made of.",
        hint=f"On Debian, as root: apt-get update. Elsewhere: {ELSEWHERE}",
    )


def sources(known: list[Repository]) -> Iterator[str]:
    """Lines of a `sources.list` with as much of Debian as this machine itself asks for, no more.

    Raises:
        FootprintError: apt knows nothing of Debian's own.
    """
    yield f"deb {_mirror(known)} {SUITE} main"
    for ending in ("-updates", "-security"):
        address = next((one.address for one in known if one.suite.endswith(ending)), None)
        if address:
            yield f"deb {address} {SUITE}{ending} main"


def is_fresh(engine: Any) -> bool:
    """Whether there is a base system of this very recipe that is not too old."""
    from docker.errors import ImageNotFound  # noqa: PLC0415 - an extra

    try:
        image = engine.images.get(DEBIAN)
    except ImageNotFound:
        return False
    made = datetime.fromisoformat(image.attrs["Created"][:19]).replace(tzinfo=UTC)
    return image.labels.get(RECIPE_LABEL) == recipe() and datetime.now(UTC) - made < FRESH


def recipe() -> str:
    """What says whether a base system was made as it is made now."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def bootstrap(engine: Any, folder: Path, mirror: str) -> None:
    """Make the image `DEBIAN` of what a mirror has today.

    Raises:
        FootprintError: this is not root, debootstrap is missing or failed, or Docker did.
        StorageError: the disk is full.
    """
    if os.geteuid() != 0:
        raise FootprintError("Only root can build the node image.", hint=f"Run as root: make node. {ELSEWHERE}")
    if not shutil.which("debootstrap"):
        raise FootprintError(
            "The node image is made of Debian packages, and debootstrap is missing.",
            hint="Install it, as root: apt-get install debootstrap",
        )
    root, log = folder / "root", folder / "debootstrap.log"
    # In a mount namespace of its own, so that what it mounts goes with it, however it ends.
    status = run(
        ["unshare", "--mount", "debootstrap", "--variant=minbase", SUITE, str(root), mirror],
        env=os.environ,
        cwd=folder,
        log=log,
        timeout=BOOTSTRAP_SECONDS,
        tick=lambda: None,
    )
    if status != 0:
        raise _failure(status, tail(log))
    for waste in WASTE:
        shutil.rmtree(root / waste, ignore_errors=True)
        (root / waste).mkdir(parents=True)
    archive = folder / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".")
    shutil.rmtree(root)
    changes = ['CMD ["/bin/bash"]', f"LABEL {RECIPE_LABEL}={recipe()}"]
    said = engine.api.import_image_from_file(str(archive), *DEBIAN.split(":"), changes=changes)
    archive.unlink()
    if "errorDetail" in str(said):  # docker.api does not look at it
        raise _failure(0, str(said))


def _failure(status: int | None, said: str) -> FootprintError | StorageError:
    if is_full(said):
        return full()
    how = f"did not end within {BOOTSTRAP_SECONDS / 60:.0f} minutes" if status is None else "failed"
    return FootprintError(
        f"debootstrap {how}:\n{said}", hint="It needs the mirror that this machine's apt uses. Try: apt-get update"
    )


def is_full(said: str) -> bool:
    """Whether somebody said that the disk is full."""
    return any(words in said.lower() for words in DISK_FULL)


def full() -> StorageError:
    """The disk of the Docker daemon, or of the cache, is full."""
    return StorageError(
        "The disk is full: the node image could not be built.",
        hint="Free some 3 GB where Docker keeps its images (docker system df) and in the cache.",
    )


def docker_build(engine: Any, context: Path, dockerfile: str, tag: str, **options: Any) -> None:
    """Build an image; what failed is told with the end of what it said.

    Raises:
        FootprintError: a step failed.
        StorageError: the daemon's disk is full.
    """
    from docker.errors import BuildError  # noqa: PLC0415

    try:
        engine.images.build(path=str(context), dockerfile=dockerfile, tag=tag, rm=True, forcerm=True, **options)
    except BuildError as error:
        said = [str(line.get("stream") or line.get("error") or "").rstrip() for line in error.build_log][-8:]
        if is_full(f"{error} {said}"):
            raise full() from None
        raise FootprintError(f"{dockerfile} failed:\n" + "\n".join(said), hint="Is the mirror of apt there?") from None
