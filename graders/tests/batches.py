"""Submissions and orders for the tests of batches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from environments.labspec import load_lab
from graders.batch import Order
from graders.cage import Job, Outcome, Status
from graders.intake import take_in
from graders.variants import Variant, VariantFile, load_variants, write_submission

COURSE = Path(__file__).parents[2]
SLUG = "zero-trust"
SPEC = load_lab(COURSE, SLUG)
RELEASE = COURSE / "labs" / SLUG / "notebooks"
NOTEBOOKS = tuple(task.notebook for task in SPEC.tasks)
TERM_KEY = b"a term key that is only for tests"


class Idle:
    """In place of a cage where none is under test: nothing of the learner's is run."""

    name = "idle"

    def prove(self) -> None:
        """Hold."""

    def run(self, job: Job) -> Outcome:
        """Run nothing."""
        return Outcome(status=Status.FINISHED, notebooks={}, detail="", seconds=0.0, peak_memory_bytes=None)


def hand_in(submitted: Path, learner: str, variant: str = "reference", cells: Mapping[str, str] | None = None) -> Path:
    """Hand in a variant of the reference for a learner, or the reference with other cells; returns the folder."""
    folder = submitted / learner / SLUG
    folder.parent.mkdir(parents=True, exist_ok=True)
    chosen = {one.name: one for one in load_variants(COURSE, SPEC)}[variant]
    if cells is not None:
        chosen = _with_cells(folder.parent, learner, cells)
    write_submission(COURSE, SPEC, [chosen], folder)
    return folder


def _with_cells(folder: Path, learner: str, cells: Mapping[str, str]) -> Variant:
    for name, text in cells.items():
        (folder / f"{name}.py").write_text(text)
    files = {name: f"{name}.py" for name in cells}
    file = VariantFile.model_validate({"schema": 1, "title": learner, "why": "a test", "cells": files})
    return Variant(name=learner, kind="hostile", title=learner, expected=(), file=file, folder=folder)


def order_of(folder: Path, **changes: Any) -> Order:
    """An order to grade `folder/submitted` into `folder/out`."""
    facts: dict[str, Any] = {
        "course": COURSE,
        "lab": SLUG,
        "submitted": folder / "submitted",
        "out": folder / "out",
        "term_key": TERM_KEY,
    }
    return Order(**facts | changes)


def digests(folder: Path, staging: Path) -> dict[str, str]:
    """The digest of each submission below `folder/submitted` that may run."""
    taken = take_in(folder / "submitted", SPEC, RELEASE, staging)
    return {one.learner: one.sha256 for one in taken.staged}
