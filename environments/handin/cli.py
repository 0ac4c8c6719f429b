"""The learner's command `mod209 submit LAB`, for the main command line to mount."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from environments import console
from environments.course import course_dir, own_params
from environments.errors import BadInputError
from environments.handin.submit import Submission, submit
from environments.labspec import load_lab
from environments.params import PRACTICE_LEARNER, check_learner_id

HANDED_IN = "handed-in"
WORK = "work"


def submit_command(
    lab: Annotated[str, typer.Argument(help="The lab, such as zero-trust.")],
    work: Annotated[
        Path | None, typer.Option(help="Folder of your notebooks. Default: work/LAB, else the lab's own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the archive goes. Default: handed-in/ in the course.")] = None,
    learner: Annotated[str | None, typer.Option(help="Your id, where your parameters do not say it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check and pack your work for your instructor, and write a receipt. Runs nothing of it."""
    course = course_dir().absolute()
    spec = load_lab(course, lab)
    done = submit(work or _work(course, lab), spec, _who(course, learner), out or course / HANDED_IN)
    if as_json:
        receipt = done.receipt.model_dump(mode="json", by_alias=True)
        extra = {"archive": str(done.archive), "unanswered": done.unanswered, "left_out": done.left_out}
        console.print_json({"receipt": receipt} | extra)
    else:
        _print(done)


def _work(course: Path, lab: str) -> Path:
    """Where the learner works: a folder of their own if there is one, else the lab's notebooks as they came."""
    own = course / WORK / lab
    return own if own.is_dir() else course / "labs" / lab / "notebooks"


def _who(course: Path, named: str | None) -> str:
    params = own_params(course)
    known = params.learner if params and params.learner != PRACTICE_LEARNER else None
    if known and named and named != known:
        raise BadInputError(
            f"Your parameters are those of {known}, not of {named}.",
            hint="Leave --learner out, or use your own bundle.",
        )
    if not (who := known or named):
        raise BadInputError(
            "Nothing here says who you are.", hint="Name the id that your instructor knows you by: --learner ID."
        )
    check_learner_id(who)
    return who


def _print(done: Submission) -> None:
    for task in done.unanswered:
        console.err.print(f"✗ {task} looks unanswered: a cell still says that it is not implemented.", style="yellow")
    for name in done.left_out:
        console.err.print(f"  {name} is left out: files of this kind are not graded.", markup=False)
    receipt = done.receipt
    console.out.print(f"Hand in this file:  {done.archive}", soft_wrap=True, markup=False)
    console.out.print(
        f"Receipt: {receipt.learner}, {receipt.lab} {receipt.lab_version}, {receipt.stamp}, "
        f"{len(receipt.files)} files, sha256 {receipt.sha256}",
        soft_wrap=True,
        markup=False,
    )
