"""The graders' own test: each variant of the reference must fail exactly the checks that it names, and each check must fail one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from environments.errors import BadInputError
from environments.labspec import LabSpec, load_lab
from environments.scratch import scratch
from environments.toolchain import locate
from graders.batch import Order, Step, grade_batch
from graders.company import Company, alone, companies
from graders.variants import Variant, load_variants, write_submission
from graders.verdicts import Outcome, Results, SubmissionResult, SubmissionVerdict

# Variants are graded as any submission is; the key only has to be one.
TERM_KEY = b"mod209 verify: parameters of variants need not be secret"
MARKS = {Outcome.PASSED: Text("·", style="dim"), Outcome.FAILED: Text("✗", style="red")}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant as it was graded. `ok`: fully graded, and exactly the expected checks failed.

    `company` are the other variants in the same submission; what they name is theirs.
    """

    variant: Variant
    result: SubmissionResult
    company: Company = ()

    @property
    def failed(self) -> list[str]:
        """Ids of the checks that were judged and did not pass, in the lab's order; without what the company names."""
        theirs = {check for other in self.company for check in other.expected}
        return [c.id for c in self.result.checks if c.outcome is Outcome.FAILED and c.id not in theirs]

    @property
    def ok(self) -> bool:
        """See the class."""
        return self.result.verdict is SubmissionVerdict.GRADED and set(self.failed) == set(self.variant.expected)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Checks by variants. If not all variants are in it (`whole`), it cannot tell which checks none fails.

    `left_out` are variants that cannot be graded here, and why.
    """

    spec: LabSpec
    provider: str
    rows: tuple[Row, ...]
    whole: bool = True
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def unkilled(self) -> list[str]:
        """Checks that no broken variant fails: a check that cannot fail is no check."""
        killed = {check for row in self.rows if row.variant.kind == "broken" for check in row.failed}
        return [check.id for check in self.spec.checks if check.id not in killed] if self.whole else []

    @property
    def ok(self) -> bool:
        """Whether the graders are as their variants say."""
        return not self.unkilled and all(row.ok for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The contract's document."""
        variants = [
            {
                "name": row.variant.name,
                "kind": row.variant.kind,
                "expected": sorted(row.variant.expected),
                "failed": sorted(row.failed),
                "with": [other.name for other in row.company],
                "ok": row.ok,
            }
            for row in self.rows
        ]
        return {
            "lab": self.spec.slug,
            "provider": self.provider,
            "checks": [check.id for check in self.spec.checks],
            "variants": variants,
            "left_out": dict(self.left_out),
            "unkilled": self.unkilled,
            "ok": self.ok,
        }

    def as_table(self) -> Table:
        """Variants down, checks across: one mark a check, in a column a task, so that a lab fits a terminal."""
        notes = [f"{name}: not graded, {why}" for name, why in self.left_out.items()]
        legend = "\n".join(["· passes  ✗ fails  ! should fail but passes  ? not judged", *notes])
        table = Table(
            title=f"{self.spec.title}: what each variant fails",
            caption=legend,
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        table.title_justify = table.caption_justify = "left"
        table.add_column("variant", min_width=16, overflow="fold")  # on a narrow terminal names break, marks do not
        for task in self.spec.tasks:
            digits = "".join(check.id[-1] for check in task.checks)  # 10 shows as 0
            table.add_column(f"{task.id}\n{digits}", no_wrap=True, min_width=len(digits), vertical="bottom")
        table.add_column("ok", no_wrap=True, min_width=2)
        for row in self.rows:
            verdict = Text("✓", style="green") if row.ok else Text("NO", style="bold red")
            table.add_row(_named(row.variant), *(_marks(row, task.id) for task in self.spec.tasks), verdict)
        return table


def verify(
    course: Path,
    lab: str,
    step: Step,
    *,
    provider: str = "local",
    only: list[str] | None = None,
    workers: int = 1,
    together: bool = False,
) -> Matrix:
    """Grade the reference, every alternative and every broken variant of a lab (or those named `only`) as submissions.

    Answers for a policy engine beside OPA are graded on provider kind, where the engine is built or they are named.

    Args:
        course: The course's root folder.
        lab: The lab's slug.
        step: Told how far it is.
        provider: Where the clouds run.
        only: Names of variants; all if empty.
        workers: How many are graded side by side.
        together: Variants of different tasks share a submission; each of a company that is not as named is graded again
            by itself.

    Raises:
        BadInputError: a variant is not as it must be, or a name in `only` is unknown.
        CourseError: what `grade_batch` raises.
    """
    spec = load_lab(course, lab)
    known = load_variants(course, spec)
    variants = wanted(known, provider, only or ())
    out = {} if only else left_out(known, provider)  # now: while hours of grading go by, an engine may get built
    with scratch("verify") as folder:

        def graded(name: str, groups: list[Company], engine: str) -> dict[str, Row]:
            order = _handed_in(course, spec, groups, folder / f"{name}-{engine}", provider, engine, workers)
            return {row.variant.name: row for row in _rows(groups, grade_batch(order, step))}

        rows: dict[str, Row] = {}
        for engine, some in by_engine(variants).items():
            rows |= graded("first", companies(spec, some) if together else alone(some), engine)
        doubtful = [row.variant for row in rows.values() if row.company and not row.ok]
        for engine, some in by_engine(doubtful).items():
            rows |= graded("again", alone(some), engine)
    ordered = tuple(rows[variant.name] for variant in variants)
    return Matrix(spec=spec, provider=provider, rows=ordered, whole=not only, left_out=out)


def wanted(variants: list[Variant], provider: str, only: Collection[str]) -> list[Variant]:
    """What is to be graded: no hostile ones, and what is for a policy engine only where there is one, or it is named."""
    fit = [one for one in variants if one.kind != "hostile" and (provider == "kind" or not one.engine)]
    if unknown := sorted(set(only) - {one.name for one in fit}):
        raise BadInputError(
            f"There is no variant {', '.join(unknown)} on {provider}.", hint="Run verify without --only to see all."
        )
    out = left_out(fit, provider)
    return [one for one in fit if (one.name in only if only else one.name not in out)]


def left_out(variants: Iterable[Variant], provider: str) -> dict[str, str]:
    """Names of variants for policy engines that are not at hand, and why."""
    return {one.name: why for one in variants if one.engine and (why := _missing(one.engine, provider))}


def _missing(engine: str, provider: str) -> str:
    if provider != "kind":
        return f"since {engine} runs on provider kind only."
    return "" if locate(engine) else f"since {engine} is not built here. Run: make engines"


def by_engine(variants: Iterable[Variant]) -> dict[str, list[Variant]]:
    """The variants by their policy engine; each engine is a footprint of its own."""
    groups: dict[str, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(variant.engine, []).append(variant)
    return groups


def _handed_in(
    course: Path, spec: LabSpec, groups: list[Company], folder: Path, provider: str, engine: str, workers: int
) -> Order:
    """Each company's submission below `folder`, under the name of its first variant."""
    for group in groups:
        write_submission(course, spec, group, folder / "submitted" / group[0].name / spec.slug)
    return Order(
        course=course,
        lab=spec.slug,
        submitted=folder / "submitted",
        out=folder / "out",
        term_key=TERM_KEY,
        provider=provider,
        engine=engine,
        workers=workers,
    )


def _rows(groups: list[Company], results: Results) -> Iterator[Row]:
    by_name = {result.learner: result for result in results.submissions}
    for group in groups:
        for variant in group:
            others = tuple(other for other in group if other is not variant)
            yield Row(variant=variant, result=by_name[group[0].name], company=others)


def _named(variant: Variant) -> str:
    """The name; what is meant to be right is said to be so."""
    return f"{variant.name} (right)" if variant.kind == "alternative" else variant.name


def _marks(row: Row, task: str) -> Text:
    return Text.assemble(*(_mark(row, check.outcome, check.id) for check in row.result.of_task(task)))


def _mark(row: Row, outcome: Outcome, check_id: str) -> Text:
    expected = check_id in row.variant.expected
    if outcome is Outcome.FAILED and check_id not in row.failed:
        return MARKS[Outcome.PASSED]  # it is another's, and this row says nothing of it
    if outcome not in MARKS:
        return Text("?", style="yellow")
    if expected and outcome is Outcome.PASSED:
        return Text("!", style="bold yellow")  # should have failed
    return MARKS[outcome] if expected or outcome is Outcome.PASSED else Text("✗", style="bold red reverse")
