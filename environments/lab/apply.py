"""Hand a learner's files to the footprint: Rego to the admission webhooks, HCL to Vault, manifests to the clouds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from environments.errors import BadInputError
from environments.lab.cloud import Cloud
from environments.lab.lint import refuse
from environments.lab.manifests import ADMISSION_KINDS, Manifest, apply_manifest, read_manifests
from environments.lab.vault import write_policy
from environments.yamlfile import read_text

if TYPE_CHECKING:
    from environments.lab.api import Lab

FOLDERS = {"policies": (".rego", ".hcl"), "manifests": (".yaml", ".yml")}
SUFFIXES = tuple(suffix for suffixes in FOLDERS.values() for suffix in suffixes)
HELPERS = 24  # an API server lets a role wait for its caches, some 100 ms, but many at once
POLICY_STEM = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class Applied:
    """What was handed over; its `repr` says it in words."""

    clouds: tuple[str, ...]
    rego: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    admission_changed: bool = field(default=False, repr=False)

    def __repr__(self) -> str:
        everywhere = ", ".join(self.clouds)
        lines = [f"Rego, the admission policy of {everywhere}: {', '.join(self.rego)}"] if self.rego else []
        lines += [f"Vault policy {name}" for name in self.policies]
        lines += [f"{title}, on {everywhere}" for title in self.objects]
        return "\n".join(f"applied: {line}" for line in lines)


def find_files(root: Path, names: Sequence[str | Path]) -> list[Path]:
    """The files below `root` that `names` (files or folders) mean; without names all of `policies/` and `manifests/`.

    Raises:
        BadInputError: a name is of no use, or nothing is found.
    """
    found = [path for name in names for path in _named(root, Path(name))] if names else list(_standard(root))
    if not found:
        raise BadInputError(
            "There is nothing to apply.", hint="Write policies/*.rego, policies/*.hcl or manifests/*.yaml first."
        )
    return list(dict.fromkeys(found))


def apply_files(lab: Lab, root: Path, names: Sequence[str | Path]) -> Applied:
    """Check all files first, then apply them.

    Raises:
        BadInputError: a file has an error or is refused; every problem with file and line. If it is one of syntax,
            nothing was applied.
        FootprintError: a server does not answer.
    """
    texts = {_shown(path, root): read_text(path) for path in find_files(root, names)}
    refuse(lab.lint(texts))
    rego = {name: text for name, text in texts.items() if name.endswith(".rego")}
    hcl = {policy_name(name): text for name, text in texts.items() if name.endswith(".hcl")}
    manifests = [
        m for name, text in texts.items() if name.endswith((".yaml", ".yml")) for m in read_manifests(name, text)
    ]
    if rego:
        refuse(lab.workbench.load({Path(name).name: text for name, text in rego.items()}))
    for policy, text in hcl.items():
        write_policy(lab.vault, policy, text)
    _apply_everywhere(lab.clouds.values(), manifests)
    return Applied(
        clouds=tuple(lab.clouds),
        rego=tuple(rego),
        policies=tuple(hcl),
        objects=tuple(manifest.title for manifest in manifests),
        admission_changed=any(manifest.kind in ADMISSION_KINDS for manifest in manifests),
    )


def policy_name(file: str) -> str:
    """The Vault policy that an HCL file holds: `policies/aws-training-trainer.hcl` is `ml-aws-training-trainer`.

    Raises:
        BadInputError: the file's name cannot be part of a policy's name.
    """
    stem = Path(file).stem
    if not POLICY_STEM.fullmatch(stem):
        raise BadInputError(
            f"{file}: no Vault policy can have that name.", hint="Use small letters, digits and dashes."
        )
    return f"ml-{stem}"


def _standard(root: Path) -> Iterable[Path]:
    for folder, suffixes in FOLDERS.items():
        yield from sorted(path for path in (root / folder).glob("*") if path.suffix in suffixes)


def _named(root: Path, name: Path) -> list[Path]:
    path = root / name
    if path.is_dir():
        return sorted(inner for inner in path.iterdir() if inner.suffix in SUFFIXES)
    if not path.is_file():
        raise BadInputError(
            f"There is no file {name}.", hint="Paths count from the notebook's folder, like policies/admission.rego."
        )
    if path.suffix not in SUFFIXES:
        raise BadInputError(f"{name} cannot be applied.", hint=f"Files that can: {', '.join(SUFFIXES)}.")
    return [path]


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _apply_everywhere(clouds: Iterable[Cloud], manifests: list[Manifest]) -> None:
    """Apply on all clouds at once, and on each all neighbours of one kind: a kind may need the one before it."""
    with ThreadPoolExecutor() as pool, ThreadPoolExecutor(HELPERS) as helpers:
        list(pool.map(lambda cloud: _apply_in_order(cloud, manifests, helpers), clouds))


def _apply_in_order(cloud: Cloud, manifests: list[Manifest], helpers: ThreadPoolExecutor) -> None:
    for _, alike in groupby(manifests, key=lambda manifest: manifest.kind):
        first, *others = alike
        apply_manifest(cloud, first)
        list(helpers.map(partial(apply_manifest, cloud), others))
