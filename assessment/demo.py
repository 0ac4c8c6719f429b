"""`mod209 demo`: the whole of the project in one command, with nothing made up."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from environments import console
from environments.errors import BadInputError
from environments.labspec import load_lab
from graders.batch import Order, grade_batch
from graders.report import summary
from graders.variants import load_variants, write_submission
from graders.verify import TERM_KEY

LAB = "zero-trust"
# Learner's name to the variant that is handed in under it: right, partly right, hostile.
SUBMISSIONS = {"ada-right": "reference", "ben-partly": "zt-3-pods-only", "mallory-hostile": "vault-takeover"}
DEMO_FILES = (
    "records",
    "submitted",
    "grades.csv",
    "results.json",
    "index.html",
    "junit.xml",
    "gradebook.db",
    ".gradebook.db.lock",
    ".lock",
    ".staging",
    "feedback",
    "autograded",
)


def demo_command(
    out: Annotated[Path, typer.Option(help="Where submissions and results go.")] = Path("demo"),
    course: Annotated[
        Path, typer.Option("--course", envvar="MOD209_COURSE", help="The course's root folder.")
    ] = Path(),
) -> None:
    """Bring a footprint up, grade three real submissions (right, partly right, hostile), and show the report."""
    began = time.monotonic()
    course = course.absolute()
    spec = load_lab(course, LAB)
    _clear(out)
    variants = {variant.name: variant for variant in load_variants(course, spec)}
    for learner, name in SUBMISSIONS.items():
        write_submission(course, spec, [variants[name]], out / "submitted" / learner / LAB)
    order = Order(course=course, lab=LAB, submitted=out / "submitted", out=out, term_key=TERM_KEY)
    with console.progress("Demo") as step:
        results = grade_batch(order, step)
    console.out.print(summary(spec, results))
    for learner, name in SUBMISSIONS.items():
        console.out.print(f"  {learner}: {variants[name].title}")
    console.out.print(f"\nReport: {(out / 'index.html').absolute()}", soft_wrap=True)
    console.out.print(
        f"Done in {time.monotonic() - began:.0f} s. Results for programs: {out / 'results.json'}", soft_wrap=True
    )


def _clear(out: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    if not out.exists():
        return
    if not out.is_dir() or {path.name for path in out.iterdir()} - set(DEMO_FILES):
        raise BadInputError(
            f"{out} holds files that are not of an earlier demo.", hint="Name an empty folder by --out."
        )
    shutil.rmtree(out)
