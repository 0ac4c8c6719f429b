"""Bring a learner's work back on a clean footprint.

Certificates, issuers and the uids of accounts are new on every footprint, so that what was stored on the last one would be
wrong on this one. The notebooks make it right anew, as they do when they are graded.
"""

from __future__ import annotations

from contextlib import closing

from environments.access import read_access
from environments.course import ACCESS_NAME
from environments.errors import CourseError
from environments.footprint import Footprint, Progress
from environments.jupyter.headless import copied, handed_in, run_notebooks
from environments.jupyter.workfolder import WorkFolder
from environments.lab.api import Lab


def replay(work: WorkFolder, footprint: Footprint, progress: Progress) -> list[str]:
    """Apply policies and manifests, then run the notebooks that the learner has begun: what these do has the last word.

    Returns:
        What did not work, a sentence each; none of the learner's files is changed.
    """
    problems: list[str] = []
    if any(path.parent != work.path for path in handed_in(work)):
        progress("applying policies and manifests")
        problems = _apply(work, footprint)
    with copied(work) as folder:
        return problems + [str(one) for one in run_notebooks(folder, work.begun(), footprint, work.course, progress)]


def _apply(work: WorkFolder, footprint: Footprint) -> list[str]:
    access = read_access(footprint.directory / ACCESS_NAME)
    try:
        with closing(Lab(work.spec.slug, access, work.path)) as lab:
            lab.apply()
    except CourseError as error:
        return [error.message]
    return []
