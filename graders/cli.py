"""The instructor's and maintainer's commands of `mod209`: release, grade, verify."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from environments import console
from environments.cli import Json, Lab
from environments.errors import NotAllGradedError, VerifyError
from environments.labspec import load_lab
from environments.params import read_term_key
from environments.paths import config_dir
from graders.batch import Order, grade_batch
from graders.bundle import bundle_command
from graders.cage import CAGE_NAMES, Limits
from graders.collect import collect_command
from graders.release import release_command
from graders.report import summary
from graders.scheduling import scheduler_at
from graders.verify import Row, verify

Course = Annotated[Path, typer.Option("--course", envvar="MOD209_COURSE", help="The course's root folder.")]


def grade_command(
    lab: Lab,
    submitted: Annotated[Path, typer.Argument(help="Folder with <learner>/<lab>/ for each learner.")],
    *,
    out: Annotated[Path, typer.Option(help="Where results, reports and gradebook go.")],
    provider: Annotated[str, typer.Option(help="Where the clouds run: local or kind.")] = "local",
    engine: Annotated[str, typer.Option(help="A policy engine beside OPA, on kind.")] = "",
    cage: Annotated[str, typer.Option(help=f"What confines notebooks: {' or '.join(CAGE_NAMES)}.")] = CAGE_NAMES[0],
    workers: Annotated[
        int, typer.Option(min=1, help="Submissions graded side by side here; each needs some 1.5 GB and a core.")
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Grade on the workers of this Dask scheduler instead: tls://HOST:PORT.")
    ] = None,
    tls: Annotated[
        Path | None,
        typer.Option(help="Folder with ca.pem, cert.pem and key.pem, by which the scheduler knows us and we know it."),
    ] = None,
    cell_seconds: Annotated[float, typer.Option(min=1, help="A cell that runs longer is interrupted.")] = 120,
    run_seconds: Annotated[float, typer.Option(min=5, help="Notebooks of one submission that run longer end.")] = 300,
    batch_minutes: Annotated[
        float | None, typer.Option(min=0, help="What has not been begun by then is not graded this time.")
    ] = None,
    term_key: Annotated[
        Path | None,
        typer.Option(help="This term's key; made on first use. Default: term.key in the configuration folder."),
    ] = None,
    course: Course = Path(),
    as_json: Json = False,
) -> None:
    """Grade every submission in a folder. Run again after an interruption, it carries on."""
    order = Order(
        course=course.absolute(),
        lab=lab,
        submitted=submitted,
        out=out,
        term_key=read_term_key(term_key or config_dir() / "term.key"),
        provider=provider,
        engine=engine,
        limits=replace(Limits(), cell_seconds=cell_seconds, wall_seconds=run_seconds),
        cage=cage,
        workers=workers,
        scheduler=scheduler_at(scheduler, tls or Path()) if scheduler else None,
        seconds=None if batch_minutes is None else 60 * batch_minutes,
    )
    with console.progress(f"Grading {lab}") as step:
        results = grade_batch(order, step)
    if as_json:
        console.print_json(results.model_dump(mode="json", by_alias=True))
    else:
        console.out.print(summary(load_lab(course.absolute(), lab), results))
        console.out.print(f"Report: {out / 'index.html'}", soft_wrap=True)
    if not results.final:
        open_ = [one for one in results.submissions if not one.final]
        names = ", ".join(f"{one.learner} ({one.verdict})" for one in open_[:10])
        raise NotAllGradedError(
            f"{len(open_)} of {len(results.submissions)} submissions are not finally graded: {names}.",
            hint="The report says why. Run the same command again to try those that failed through no fault of theirs.",
        )


def verify_command(
    lab: Lab,
    provider: Annotated[str, typer.Option(help="Where the clouds run: local or kind.")] = "local",
    only: Annotated[list[str] | None, typer.Option(help="One variant by name; may be given more than once.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Variants graded side by side.")] = 1,
    together: Annotated[
        bool, typer.Option("--together", help="Variants of different tasks share a submission.")
    ] = False,
    course: Course = Path(),
    as_json: Json = False,
) -> None:
    """Test the graders: reference and alternatives pass, and each broken variant fails exactly the checks it names."""
    with console.progress(f"Verifying {lab}") as step:
        matrix = verify(course.absolute(), lab, step, provider=provider, only=only, workers=workers, together=together)
    if as_json:
        console.print_json(matrix.as_json())
    else:
        console.out.print(matrix.as_table())
    wrong = [row for row in matrix.rows if not row.ok]
    for row in wrong:
        console.err.print(f"{row.variant.name}: {_said(row)}", markup=False)
    if not matrix.ok:
        unkilled = f"; no variant fails {', '.join(matrix.unkilled)}" if matrix.unkilled else ""
        raise VerifyError(
            f"{len(wrong)} of {len(matrix.rows)} variants are not graded as they name{unkilled}.",
            hint="Correct the check, the probe or the variant's `expected`.",
        )


def _said(row: Row) -> str:
    """What is wrong with how a variant was graded."""
    if not row.result.final:
        return f"{row.result.verdict}: {row.result.error or 'some checks could not be judged'}"
    missing, extra = set(row.variant.expected) - set(row.failed), set(row.failed) - set(row.variant.expected)
    said = [f"did not fail {', '.join(sorted(missing))}"] * bool(missing)
    return " and ".join(said + [f"failed {', '.join(sorted(extra))} too"] * bool(extra))


def add_commands(app: typer.Typer) -> None:
    """Mount the commands of this layer."""
    app.command("release")(release_command)
    app.command("grade")(grade_command)
    app.command("verify")(verify_command)
    app.command("bundle")(bundle_command)
    app.command("collect")(collect_command)
