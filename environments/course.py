"""Where the course's public files and the credentials for its footprint are."""

from __future__ import annotations

import os
from pathlib import Path

from environments.access import ACCESS_VARIABLE
from environments.errors import BadInputError
from environments.params import LearnerParams, read_params
from environments.paths import state_dir

COURSE_VARIABLE = "MOD209_COURSE"
PARAMS_FILE = "params.json"
ACCESS_NAME = "operator.json"


def access_file(slug: str) -> Path:
    """Where the operator's credentials are: `MOD209_ACCESS`, else the state folder of the running footprint.

    Raises:
        BadInputError: there is no such file.
    """
    path = Path(os.environ.get(ACCESS_VARIABLE) or state_dir() / slug / ACCESS_NAME)
    if not path.is_file():
        raise BadInputError(f"No footprint of {slug} is running.", hint=f"Start one with: mod209 up {slug}")
    return path


def course_dir() -> Path:
    """The course's folder: `MOD209_COURSE`, else the nearest one upwards from here that holds `labs/`.

    Raises:
        BadInputError: there is none.
    """
    if named := os.environ.get(COURSE_VARIABLE):
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any(folder.glob("labs/*/lab.yaml")):
            return folder
    raise BadInputError(
        "The course's folder is not here.", hint=f"Start Jupyter inside it, or name it in {COURSE_VARIABLE}."
    )


def own_params(course: Path) -> LearnerParams | None:
    """The learner's parameters that a bundle has brought along; None where the course's folder holds none.

    Raises:
        BadInputError: they are damaged.
    """
    path = course / PARAMS_FILE
    return read_params(path) if path.is_file() else None
