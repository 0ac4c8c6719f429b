"""The instructor's command `mod209 bundle LAB`: one archive a learner, all or none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from environments import console
from environments.errors import BadInputError, StorageError
from environments.params import LearnerParams, check_learner_id, derive, practice, read_term_key
from environments.paths import config_dir
from environments.scratch import scratch
from graders.bundle.archive import packed
from graders.bundle.contents import Common, bundle_files, common
from graders.bundle.roster import read_roster


def write_bundles(shared: Common, learners: Sequence[LearnerParams], out: Path) -> dict[Path, str]:
    """Write one archive a learner into `out`, all or none; returns their SHA-256 by path.

    Raises:
        StorageError: they cannot be written; none is there then, and older ones are as they were.
    """
    digests: dict[Path, str] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with scratch("bundles", out) as room:
            for params in learners:
                name = bundle_name(shared, params)
                data = packed(name, bundle_files(shared, params))
                (room / f"{name}.tar.gz").write_bytes(data)
                digests[out / f"{name}.tar.gz"] = hashlib.sha256(data).hexdigest()
            for path in digests:
                (room / path.name).replace(path)
    except OSError as error:
        raise StorageError(
            f"Cannot write {out}: {error.strerror}.", hint="Free some space or name another folder by --out."
        ) from None
    return digests


def bundle_name(shared: Common, params: LearnerParams) -> str:
    """Name of the archive, without suffix, and of the one folder in it."""
    return f"{shared.spec.slug}-{params.learner}"


def bundle_command(
    lab: Annotated[str, typer.Argument(help="The lab, such as zero-trust.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the archives.")],
    learner: Annotated[str | None, typer.Option(help="One learner's id.")] = None,
    roster: Annotated[Path | None, typer.Option(help="The class: a CSV file with a column `id`.")] = None,
    term_key: Annotated[
        Path | None,
        typer.Option(help="This term's key; made on first use. Default: term.key in the configuration folder."),
    ] = None,
    course: Annotated[
        Path, typer.Option("--course", envvar="MOD209_COURSE", help="The course's root folder.")
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make what learners download: notebooks, visible probes, their parameters, and the software to install."""
    learners = _learners(learner, roster, term_key)
    with console.progress(f"Bundling {lab}") as step:
        step("wheel and notebooks")
        shared = common(course.absolute(), lab)
        step(f"{len(learners)} archives")
        digests = write_bundles(shared, learners, out)
    if as_json:
        console.print_json([{"archive": str(path), "sha256": digest} for path, digest in digests.items()])
        return
    for path, digest in digests.items():
        console.out.print(f"{digest}  {path}", soft_wrap=True, markup=False)


def _learners(learner: str | None, roster: Path | None, term_key: Path | None) -> list[LearnerParams]:
    if learner and roster:
        raise BadInputError("Name one learner or a roster, not both.", hint="Leave --learner or --roster out.")
    if not learner and not roster:
        return [practice()]
    ids = read_roster(roster) if roster else [learner or ""]
    for one in ids:
        check_learner_id(one)
    key = read_term_key(term_key or config_dir() / "term.key")
    return [derive(one, key) for one in ids]
