"""Bring a learner's work back on a clean footprint.

Certificates, issuers and the uids of accounts are new on every footprint, so that what was stored on the last one would be
wrong on this one. The notebooks make it right anew, as they do when they are graded.
"""

from __future__ import annotations

import filecmp
from contextlib import closing
from pathlib import Path

from environments.access import read_access
from environments.errors import CourseError
from environments.footprint import Footprint, Progress
from environments.jupyter.headless import copied, handed_in, run_notebooks
from environments.jupyter.workfolder import WorkFolder
from environments.lab.api import Lab
from environments.lab.course import ACCESS_NAME


def replay(work: WorkFolder, footprint: Footprint, progress: Progress) -> list[str]:
    """Run the notebooks that the learner has begun, then apply files that were edited by hand since.

    Returns:
        What did not work, a sentence each; none of the learner's files is changed.
    """
    with copied(work) as folder:
        problems = [str(one) for one in run_notebooks(folder, work.begun(), footprint, work.course, progress)]
        edited = _edited(work, folder)
    if edited:
        progress("applying policies and manifests")
        problems += _apply(work, footprint)
    return problems


def _edited(work: WorkFolder, folder: Path) -> list[str]:
    """Policies and manifests that are not as the notebooks write them."""
    names = [str(path.relative_to(work.path)) for path in handed_in(work) if path.parent != work.path]
    return filecmp.cmpfiles(work.path, folder, names, shallow=False)[1]


def _apply(work: WorkFolder, footprint: Footprint) -> list[str]:
    access = read_access(footprint.directory / ACCESS_NAME)
    try:
        with closing(Lab(work.spec.slug, access, work.path)) as lab:
            lab.apply()
    except CourseError as error:
        return [error.message]
    return []
