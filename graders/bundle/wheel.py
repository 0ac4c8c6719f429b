"""The learner's wheel: `environments` alone, built by setuptools from a copy, without network, always the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import environments
from environments.errors import BadInputError, CourseError
from environments.scratch import scratch
from graders.bundle.archive import EPOCH
from graders.bundle.project import Project

BUILD_SECONDS: Final = 120
TEMPLATES: Final = Path(__file__).parent / "templates"
_BUILD: Final = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
_LEFT_OUT: Final = shutil.ignore_patterns("tests", "benchmarks", "image", "__pycache__", "*.pyc", ".*")


class WheelError(CourseError):
    """The learner's wheel could not be built; the fault is ours."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """The file's name and bytes."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Digest of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def build_wheel(course: Path, project: Project) -> Wheel:
    """Build the wheel from the `environments` that runs here.

    Raises:
        BadInputError: the course has no licence file.
        WheelError: setuptools fails, or packs what does not belong there.
    """
    with scratch("wheel") as room:
        source, out = room / "source", room / "out"
        _copy(course, project, source)
        out.mkdir()
        _run(source, out)
        [path] = out.glob("*.whl")
        _check(path)
        return Wheel(name=path.name, data=path.read_bytes())


def _copy(course: Path, project: Project, source: Path) -> None:
    shutil.copytree(Path(environments.__file__).parent, source / "environments", ignore=_LEFT_OUT)
    try:
        shutil.copyfile(course / "LICENSE", source / "LICENSE")
    except OSError as error:
        raise BadInputError(
            f"Cannot read {course / 'LICENSE'}: {error.strerror}.", hint="Run from the course's folder."
        ) from None
    template = (TEMPLATES / "pyproject.txt").read_text(encoding="utf-8")
    # What JSON writes for a text or a list of texts, TOML reads.
    facts = {
        "version": json.dumps(project.version),
        "python": json.dumps(project.python),
        "dependencies": json.dumps(project.dependencies),
        "data": json.dumps(project.data),
    }
    (source / "pyproject.toml").write_text(template.format(**facts), encoding="utf-8")
    for path in source.rglob("*"):  # modes get into a wheel, and must not depend on whose umask this is
        path.chmod(0o755 if path.is_dir() else 0o644)


def _run(source: Path, out: Path) -> None:
    surroundings = {"PATH": os.environ.get("PATH", os.defpath), "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-P", "-c", _BUILD, str(out)]
    try:
        done = subprocess.run(
            command, cwd=source, env=surroundings, capture_output=True, timeout=BUILD_SECONDS, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise WheelError("Building the learner's wheel took too long.", hint="Run the command again.") from None
    if done.returncode != 0 or len(list(out.glob("*.whl"))) != 1:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise WheelError(f"The learner's wheel could not be built: {last[:300]}", hint="Run: make setup")


def _check(path: Path) -> None:
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
    strange = [name for name in names if not name.startswith(("environments/", "mod209_environments-"))]
    if strange or not any(name.endswith("entry_points.txt") for name in names):
        raise WheelError(f"The learner's wheel holds what it must not: {strange[:3]}.", hint="Run: make setup")
