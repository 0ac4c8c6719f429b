"""What is in a bundle: files of the lab that are for learners, and what is made for this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from environments.course import PARAMS_FILE
from environments.errors import BadInputError
from environments.labspec import LabSpec, load_lab
from environments.params import PRACTICE_LEARNER, LearnerParams
from graders.bundle.archive import with_sums
from graders.bundle.project import Project, locked, read_project
from graders.bundle.wheel import TEMPLATES, Wheel, build_wheel
from graders.intake import lab_notebooks
from graders.release import release

# What a lab's folder may hold. Anything else is refused: whoever adds a folder decides whether learners get it.
FILES: Final = frozenset({"lab.yaml", "kind.yaml", "README.md"})
FOLDERS: Final = frozenset({"probes", "hints", "starter"})
NOTEBOOKS: Final = "notebooks"
# What a maintainer's own work in the lab's folder leaves there.
LEFTOVERS: Final = frozenset({"policies", "manifests"})
MAX_FILE_BYTES: Final = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Common:
    """What is the same in the bundles of all learners."""

    spec: LabSpec
    project: Project
    files: dict[str, bytes]


def common(course: Path, slug: str) -> Common:
    """Gather the lab's files, and build wheel and requirements.

    Raises:
        BadInputError: the lab's notebooks are not as released, or its folder holds what is not known to be for learners.
        WheelError: the wheel cannot be built.
    """
    spec, project = load_lab(course, slug), read_project(course)
    released = release(course, slug, check=True)
    if not released.in_step:
        names = ", ".join(released.written + released.removed)
        # Such a notebook may hold answers: somebody has worked in the lab's own folder.
        raise BadInputError(f"Not as their sources make them: {names}.", hint=f"Run: mod209 release {slug}")
    files = {f"labs/{slug}/{path}": data for path, data in _lab_files(course / "labs" / slug, spec)}
    wheel = build_wheel(course, project)
    files[wheel.name] = wheel.data
    files["requirements.txt"] = _requirements(course, project, wheel)
    return Common(spec=spec, project=project, files=files)


def bundle_files(shared: Common, params: LearnerParams) -> dict[str, bytes]:
    """All files of one learner's bundle: relative POSIX path -> bytes."""
    spec = shared.spec
    about = {"schema": 1, "lab": spec.slug, "lab_version": spec.version, "mod209": shared.project.version}
    who = "anybody, to practise" if params.learner == PRACTICE_LEARNER else params.learner
    own = {
        PARAMS_FILE: (params.model_dump_json(indent=1) + "\n").encode(),
        "bundle.json": (json.dumps(about | {"learner": params.learner}, indent=1) + "\n").encode(),
        "START-HERE.md": _start_here(shared, who).encode(),
    }
    return with_sums(shared.files | own)


def _lab_files(folder: Path, spec: LabSpec) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in LEFTOVERS:
            continue
        if path.name == NOTEBOOKS:
            yield from ((f"{NOTEBOOKS}/{name}", _bytes(path / name)) for name in lab_notebooks(spec))
        elif path.name in FILES and not path.is_dir():
            yield path.name, _bytes(path)
        elif path.name in FOLDERS and path.is_dir():
            yield from ((str(inner.relative_to(folder)), _bytes(inner)) for inner in _inside(path))
        else:
            known = ", ".join(sorted(FILES | FOLDERS | {NOTEBOOKS}))
            raise BadInputError(f"{path} is nothing that a bundle knows.", hint=f"A lab's folder holds: {known}.")


def _inside(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in found if not any(step.startswith(".") for step in path.relative_to(folder).parts))


def _bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise BadInputError(
            f"{path} is missing, no plain file, or larger than {MAX_FILE_BYTES >> 20} MiB.",
            hint="Mend the lab's folder.",
        )
    return path.read_bytes()


def _requirements(course: Path, project: Project, wheel: Wheel) -> bytes:
    """One file for one command: everything that a learner installs, each with its hashes."""
    head = "# pip install --require-hashes -r requirements.txt   (in this folder)\n"
    own = f"./{wheel.name} \\\n    --hash=sha256:{wheel.sha256}\n"
    return (head + locked(course, project.dependencies) + own).encode()


def _start_here(shared: Common, who: str) -> str:
    first = shared.spec.tasks[0]
    return (
        (TEMPLATES / "START-HERE.md")
        .read_text(encoding="utf-8")
        .format(
            title=shared.spec.title,
            lab=shared.spec.slug,
            version=shared.spec.version,
            learner=who,
            python=shared.project.python.removeprefix(">=") + " or newer",
            first=first.notebook,
            task=first.id,
        )
    )
