"""The real lab cut down to one notebook, four checks and a few probes, so that a submission to it costs seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from environments.labspec import LabSpec, load_lab
from graders.batch import Order
from graders.release import release

REAL: Final = Path(__file__).parents[2]
SLUG: Final = "zero-trust"
TASK: Final = "ZT-3"
NOTEBOOK: Final = "zt-3-admission-policy.ipynb"
POLICY_CELL: Final = "zt-3-policy"
APPLY_CELL: Final = "zt-3-apply"
TERM_KEY: Final = b"a term key that is only for tests of small courses"
CHECKS: Final = ("ZT-3.1", "ZT-3.2", "ZT-3.3", "ZT-3.4")
VISIBLE: Final = ("compliant-pod", "everything-wrong-at-once", "tag-only", "public-registry", "privileged-container")
HIDDEN: Final = (
    "really-stored",
    "explicitly-unprivileged",
    "digest-one-long",
    "tag-really-stored",
    "registry-as-prefix-of-host",
    "registry-with-dash",
    "host-pid",
    "host-path-not-first",
)
SETUP: Final = 'from environments.lab import open_lab\n\nlab = open_lab("zero-trust")'
POLICY: Final = r"""%%artifact policies/admission.rego
package mod209.admission

### BEGIN SOLUTION
spec := input.request.object.spec

deny contains sprintf("[ZT-3/digest] %s is not pinned", [container.image]) if {
	some container in spec.containers
	not regex.match(`^[^@]+@sha256:[0-9a-f]{64}$`, container.image)
}

deny contains sprintf("[ZT-3/registry] %s is not from %s", [container.image, data.cloud.registry]) if {
	some container in spec.containers
	not startswith(container.image, concat("", [data.cloud.registry, "/"]))
}

deny contains sprintf("[ZT-3/privileged] container %s", [container.name]) if {
	some container in spec.containers
	container.securityContext.privileged
}

deny contains sprintf("[ZT-3/privileged] %s", [field]) if {
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	spec[field]
}

deny contains sprintf("[ZT-3/privileged] volume %s", [volume.name]) if {
	some volume in spec.volumes
	volume.hostPath
}
### END SOLUTION
"""
APPLY: Final = '### BEGIN SOLUTION\nlab.apply("policies/admission.rego")\n### END SOLUTION'
Notebook = dict[str, Any]  # the document as JSON has it


def small_course(folder: Path) -> Path:
    """Write the small course into `folder` and release its notebook; returns the folder."""
    labs, solutions = folder / "labs" / SLUG, folder / "solutions" / SLUG
    for path in (labs / "probes", solutions / "probes", solutions / "notebooks"):
        path.mkdir(parents=True)
    _write_yaml(labs / "lab.yaml", _spec())
    _write_yaml(labs / "probes" / "zt-3.yaml", _probes("labs", VISIBLE))
    _write_yaml(solutions / "probes" / "zt-3.yaml", _probes("solutions", HIDDEN))
    (solutions / "notebooks" / NOTEBOOK).write_text(json.dumps(reference(), indent=1))
    release(folder, SLUG)
    # The caged user is nobody's friend, and has to read the lab.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def small_spec(course: Path) -> LabSpec:
    """The small lab's task, checks and points."""
    return load_lab(course, SLUG)


def reference() -> Notebook:
    """The source notebook, which is also the right answer."""
    points = sum(check["points"] for check in _checks())
    cells = [
        cell(SETUP, grade_id="zt-3-setup", locked=True),
        cell(POLICY, grade_id=POLICY_CELL, solution=True),
        cell(APPLY, grade_id=APPLY_CELL, solution=True),
        cell(f'lab.check("{TASK}")', grade_id=TASK, locked=True, grade=True, points=points),
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def cell(source: str, **marks: Any) -> dict[str, Any]:
    """A code cell; `marks` are nbgrader's, without them it is a learner's own."""
    base = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    metadata = {"nbgrader": base | marks} if marks else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "execution_count": None, "outputs": []}


def answered(cells: Mapping[str, str] | None = None, before: Sequence[str] = (), after: Sequence[str] = ()) -> Notebook:
    """The reference with other sources in `cells` (by nbgrader id), and with own cells around the two answers."""
    document = reference()
    for one in document["cells"]:
        one["source"] = (cells or {}).get(one["metadata"]["nbgrader"]["grade_id"], one["source"])
    setup, policy, apply, grade = document["cells"]
    document["cells"] = [setup, *map(cell, before), policy, apply, *map(cell, after), grade]
    return document


def hand_in(
    submitted: Path,
    learner: str,
    notebook: Notebook | bytes | None = None,
    files: Mapping[str, str | bytes] | None = None,
    links: Mapping[str, str] | None = None,
) -> Path:
    """Hand in a notebook (the reference unless told) for a learner, with files and symbolic links beside it.

    `files` are path -> content and `links` path -> target; a file called like the notebook takes its place.
    Returns the submission's folder.
    """
    folder = submitted / learner / SLUG
    folder.mkdir(parents=True)
    raw = notebook if isinstance(notebook, bytes) else json.dumps(notebook or reference()).encode()
    for name, data in ({NOTEBOOK: raw} | dict(files or {})).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    for name, target in (links or {}).items():
        (folder / name).symlink_to(target)
    return folder


def order_of(course: Path, folder: Path, **changes: Any) -> Order:
    """An order to grade `folder/submitted` into `folder/out`."""
    facts: dict[str, Any] = {
        "course": course,
        "lab": SLUG,
        "submitted": folder / "submitted",
        "out": folder / "out",
        "term_key": TERM_KEY,
    }
    return Order(**facts | changes)


def _spec() -> dict[str, Any]:
    document = _real("labs/zero-trust/lab.yaml")
    (task,) = (one for one in document["tasks"] if one["id"] == TASK)
    return document | {"tasks": [task | {"notebook": NOTEBOOK, "checks": _checks()}]}


def _checks() -> list[dict[str, Any]]:
    tasks = _real("labs/zero-trust/lab.yaml")["tasks"]
    return [check for task in tasks for check in task["checks"] if check["id"] in CHECKS]


def _probes(root: str, wanted: Sequence[str]) -> dict[str, Any]:
    document = _real(f"{root}/zero-trust/probes/zt-3.yaml")
    found = [probe for probe in document["probes"] if probe["id"] in wanted]
    if missing := set(wanted) - {probe["id"] for probe in found}:
        raise LookupError(f"the real lab has no probes {missing} any more: choose others for the small one")
    return document | {"probes": found}


def _real(path: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((REAL / path).read_text())
    return document


def _write_yaml(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
