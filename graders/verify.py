"""The graders' own test: each variant of the reference must fail exactly the checks that it names, and each check must fail one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from environments.errors import BadInputError
from environments.labspec import LabSpec, load_lab
from environments.scratch import scratch
from graders.batch import Order, Step, grade_batch
from graders.variants import Variant, load_variants, write_submission
from graders.verdicts import Outcome, Results, SubmissionResult, SubmissionVerdict

# Variants are graded as any submission is; the key only has to be one.
TERM_KEY = b"mod209 verify: parameters of variants need not be secret"
MARKS = {Outcome.PASSED: Text("·", style="dim"), Outcome.FAILED: Text("✗", style="red")}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant as it was graded. `ok`: fully graded, and exactly the expected checks failed."""

    variant: Variant
    result: SubmissionResult

    @property
    def failed(self) -> list[str]:
        """Ids of the checks that were judged and did not pass, in the lab's order."""
        return [check.id for check in self.result.checks if check.outcome is Outcome.FAILED]

    @property
    def ok(self) -> bool:
        """See the class."""
        return self.result.verdict is SubmissionVerdict.GRADED and set(self.failed) == set(self.variant.expected)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Checks by variants. If not all variants are in it (`whole`), it cannot tell which checks none fails."""

    spec: LabSpec
    provider: str
    rows: tuple[Row, ...]
    whole: bool = True

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
                "ok": row.ok,
            }
            for row in self.rows
        ]
        return {
            "lab": self.spec.slug,
            "provider": self.provider,
            "checks": [check.id for check in self.spec.checks],
            "variants": variants,
            "unkilled": self.unkilled,
            "ok": self.ok,
        }

    def as_table(self) -> Table:
        """Variants down, checks across: one mark a check, in a column a task, so that a lab fits a terminal."""
        legend = "· passes  ✗ fails  ! should fail but passes  ? not judged"
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
    course: Path, lab: str, step: Step, provider: str = "local", only: list[str] | None = None, workers: int = 1
) -> Matrix:
    """Grade the reference, every alternative and every broken variant of a lab (or those named `only`) as submissions.

    Raises:
        BadInputError: a variant is not as it must be, or a name in `only` is unknown.
        CourseError: what `grade_batch` raises.
    """
    spec = load_lab(course, lab)
    variants = [variant for variant in load_variants(course, spec) if variant.kind != "hostile"]
    if only:
        unknown = sorted(set(only) - {variant.name for variant in variants})
        if unknown:
            raise BadInputError(
                f"{lab} has no variant {', '.join(unknown)}.", hint="Run verify without --only to see all."
            )
        variants = [variant for variant in variants if variant.name in only]
    with scratch("verify") as folder:
        results = grade_variants(course, spec, variants, folder, step, provider, workers)
    by_name = {result.learner: result for result in results.submissions}
    rows = tuple(Row(variant=variant, result=by_name[variant.name]) for variant in variants)
    return Matrix(spec=spec, provider=provider, rows=rows, whole=not only)


def grade_variants(
    course: Path,
    spec: LabSpec,
    variants: list[Variant],
    folder: Path,
    step: Step,
    provider: str = "local",
    workers: int = 1,
) -> Results:
    """Hand in each variant under its own name below `folder`, and grade them all; results are in `folder/out`."""
    for variant in variants:
        write_submission(course, spec, variant, folder / "submitted" / variant.name / spec.slug)
    order = Order(
        course=course,
        lab=spec.slug,
        submitted=folder / "submitted",
        out=folder / "out",
        term_key=TERM_KEY,
        provider=provider,
        workers=workers,
    )
    return grade_batch(order, step)


def _named(variant: Variant) -> str:
    """The name; what is meant to be right is said to be so."""
    return f"{variant.name} (right)" if variant.kind == "alternative" else variant.name


def _marks(row: Row, task: str) -> Text:
    return Text.assemble(*(_mark(row, check.outcome, check.id) for check in row.result.of_task(task)))


def _mark(row: Row, outcome: Outcome, check_id: str) -> Text:
    expected = check_id in row.variant.expected
    if outcome not in MARKS:
        return Text("?", style="yellow")
    if expected and outcome is Outcome.PASSED:
        return Text("!", style="bold yellow")  # should have failed
    return MARKS[outcome] if expected or outcome is Outcome.PASSED else Text("✗", style="bold red reverse")
