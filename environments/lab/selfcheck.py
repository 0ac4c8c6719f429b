"""The learner's self-check: the visible probes of a task, asked now, as what the footprint does decides."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from environments.access import NO_SELF_CHECK_VARIABLE, Access
from environments.course import course_dir
from environments.errors import BadInputError
from environments.lab.guide import Guide, load_guides
from environments.lab.report import CheckLine, CheckReport
from environments.labspec import CheckSpec, LabSpec, TaskSpec
from environments.probes import Observation, Prober, load_probes

if TYPE_CHECKING:
    from environments.lab.api import Lab


def run_check(lab: Lab, name: str) -> CheckReport:
    """Ask the visible probes of the task or check `name`.

    Raises:
        BadInputError: the lab has no such task or check, or the course's files are damaged.
    """
    task, checks = find_checks(lab.spec, name)
    if os.environ.get(NO_SELF_CHECK_VARIABLE):
        return CheckReport(task.id, task.title, tuple(CheckLine(check.id, check.title, ()) for check in checks))
    probes = load_probes(course_dir() / "labs" / lab.slug / "probes" / f"{task.id.lower()}.yaml", visible=True)
    wanted = {check.id for check in checks}
    prober = Prober(lab.access, lab.access.capabilities, _seed(lab.access))
    # What destroys (an account deleted and made anew) would break the learner's own work.
    observations = prober.run([probe for probe in probes if probe.check in wanted and not probe.destroys])
    guides = load_guides(course_dir(), lab.slug, task.id)
    return CheckReport(task.id, task.title, tuple(_line(check, observations, guides) for check in checks))


def find_checks(spec: LabSpec, name: str) -> tuple[TaskSpec, list[CheckSpec]]:
    """The task and the checks that `name` (`ZT-1` or `ZT-1.2`, any case) means.

    Raises:
        BadInputError: there are none of that name.
    """
    task_id, _, number = name.strip().partition(".")
    task = spec.task(task_id)
    if not number:
        return task, task.checks
    checks = [check for check in task.checks if check.id == name.strip().upper()]
    if not checks:
        raise BadInputError(
            f"There is no check {name!r}.", hint=f"Checks of {task.id}: {', '.join(c.id for c in task.checks)}."
        )
    return task, checks


def _seed(access: Access) -> bytes:
    """Visible probes need no secret seed; the same learner gets the same requests again."""
    return hashlib.sha256(f"visible {access.params.learner}".encode()).digest()


def _line(check: CheckSpec, observations: Sequence[Observation], guides: Mapping[str, Guide]) -> CheckLine:
    answers = tuple(o for o in observations if o.check == check.id)
    return CheckLine(check.id, check.title, answers, guides.get(check.id))
