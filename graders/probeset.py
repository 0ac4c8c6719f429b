"""All probes of a lab, visible and hidden, and the seed from which the hidden ones derive."""

from __future__ import annotations

import hashlib
from pathlib import Path

import environments
from environments.labspec import LabSpec
from environments.params import token
from environments.probes import Probe, load_probes

SEED_DIGITS = 64
DECIDING = frozenset({".py", ".yaml", ".ipynb", ".rego", ".hcl"})
UNDECIDING = frozenset({"tests", "benchmarks", "modules"})


def load_all(course: Path, spec: LabSpec) -> list[Probe]:
    """Every probe of the lab: visible ones from `labs/`, hidden ones from `solutions/`."""
    probes: list[Probe] = []
    for root, visible in (("labs", True), ("solutions", False)):
        for path in sorted((course / root / spec.slug / "probes").glob("*.yaml")):
            probes += load_probes(path, visible)
    return probes


def seed(term_key: bytes, learner: str) -> bytes:
    """What makes one learner's hidden probes differ from another's, and this term's from the last."""
    return bytes.fromhex(token(term_key, learner, "hidden probes", length=SEED_DIGITS))


def fingerprint(course: Path, spec: LabSpec, term_key: bytes, *settings: str) -> str:
    """SHA-256 over everything that a verdict depends on beside the submission.

    That is the lab and its probes, the graders, the environments they grade on, the term, and `settings` such as provider
    and limits.
    """
    state = hashlib.sha256(hashlib.sha256(term_key).digest())
    ours = (Path(environments.__file__).parent, Path(__file__).parent)
    for root in (course / "labs" / spec.slug, course / "solutions" / spec.slug / "probes", *ours):
        for path in sorted(root.rglob("*")):
            if path.suffix in DECIDING and not UNDECIDING & set(path.relative_to(root).parts):
                _add(state, str(path.relative_to(root)).encode(), path.read_bytes())
    _add(state, *map(str.encode, settings))
    return state.hexdigest()


def _add(state: hashlib._Hash, *parts: bytes) -> None:
    for part in parts:
        state.update(len(part).to_bytes(8, "big") + part)
