"""Where this process's Python lives, and where the cage will see it."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from environments.errors import CageError

# What of this project no cage may show, should it be installed among the packages.
PRIVATE_PACKAGES: Final = ("graders", "assessment", "solutions")
_SYSTEM: Final = Path("/usr")
_HINT: Final = "Install the project in a virtual environment, as `make` does."


@dataclass(frozen=True)
class Interpreter:
    """Host paths of Python's parts, and the path of each inside the cage."""

    base: Path  # installation that the virtual environment builds on
    base_inside: Path
    program: Path  # inside: the interpreter itself, not the virtual environment's link
    packages: Path  # the virtual environment's packages
    environment_inside: Path  # the virtual environment as the cage sees it
    environments: Path  # the one package of this project that the cage shows
    library_path: str | None  # where a shared libpython lies inside, if the loader needs telling

    @property
    def python(self) -> Path:
        """Inside: the interpreter with the packages on its path."""
        return self.environment_inside / "bin" / "python"

    @property
    def packages_inside(self) -> Path:
        """Inside: the packages."""
        return self.environment_inside / "lib" / self.version / "site-packages"

    @property
    def version(self) -> str:
        """`pythonX.Y`."""
        return f"python{sys.version_info.major}.{sys.version_info.minor}"

    def hidden(self) -> list[Path]:
        """Inside: folders that are within what is shown, and must look empty."""
        roots = {_SYSTEM: _SYSTEM, self.base: self.base_inside}
        unwanted = [self.base / "lib" / self.version / "site-packages", *self._private_roots()]
        seen = {_moved(path, roots) for path in unwanted if path.is_dir()}
        private = {self.packages_inside / name for name in PRIVATE_PACKAGES if (self.packages / name).is_dir()}
        return sorted(path for path in seen | private if path)

    def _private_roots(self) -> list[Path]:
        # A checkout holds solutions and hidden checks beside the package, so the folder above it is private as well.
        root = Path(__file__).resolve().parents[2]
        return [] if root == self.packages else [root]


def _moved(path: Path, roots: dict[Path, Path]) -> Path | None:
    for outside, inside in roots.items():
        if path.is_relative_to(outside):
            return inside / path.relative_to(outside)
    return None


@cache
def current() -> Interpreter:
    """This process's interpreter.

    Raises:
        CageError: Its parts do not lie where a Python installation has them.
    """
    base = Path(sys.base_prefix).resolve()
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    found = find_spec("environments")
    if not program.is_relative_to(base) or found is None or found.origin is None:
        raise CageError("the cage cannot tell where Python is installed", hint=_HINT)
    base_inside = base if base.is_relative_to(_SYSTEM) else Path("/opt/python")
    shared = sysconfig.get_config_var("Py_ENABLE_SHARED") and base_inside != base
    return Interpreter(
        base=base,
        base_inside=base_inside,
        program=base_inside / program.relative_to(base),
        packages=Path(sysconfig.get_path("purelib")).resolve(),
        environment_inside=Path("/opt/venv"),
        environments=Path(found.origin).resolve().parent,
        library_path=str(base_inside / "lib") if shared else None,
    )
