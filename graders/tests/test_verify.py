"""The matrix of checks by variants: what makes it right or wrong, and how programs and people read it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from environments import console
from environments.errors import BadInputError, VerifyError
from graders import cli
from graders.tests.batches import COURSE, SLUG, SPEC
from graders.variants import Kind, Variant, load_variants
from graders.verdicts import Outcome, conclude, judged
from graders.verify import Matrix, Row, by_engine, left_out, verify, wanted

GOLDEN = Path(__file__).with_name("golden") / "verify.txt"
LEFT_OUT = {"zt-3-kyverno": "since kyverno runs on provider kind only."}
CHECKS = [check.id for check in SPEC.checks]


def row(
    name: str,
    kind: Kind,
    expected: tuple[str, ...] = (),
    failed: tuple[str, ...] | None = None,
    other: Outcome = Outcome.PASSED,
) -> Row:
    """A variant that failed `failed` (what it names, if not given), while all other checks were `other`."""
    variant = Variant(name=name, kind=kind, title=name, expected=expected)
    lost = expected if failed is None else failed
    checks = [judged(SPEC, check, Outcome.FAILED if check in lost else other) for check in CHECKS]
    return Row(variant=variant, result=conclude(SPEC, name, "0" * 64, checks))


def matrix(*rows: Row, whole: bool = True) -> Matrix:
    return Matrix(spec=SPEC, provider="local", rows=rows, whole=whole, left_out=LEFT_OUT)


KILLERS = tuple(row(f"lacks-{check.lower()}", "broken", (check,)) for check in CHECKS)
GOOD = matrix(row("reference", "reference"), row("other-way", "alternative"), *KILLERS)


def test_a_matrix_where_each_fails_what_it_names_is_ok() -> None:
    assert GOOD.ok
    assert GOOD.unkilled == []


@pytest.mark.parametrize(
    "wrong",
    [
        row("reference", "reference", failed=("ZT-1.1",)),
        row("other-way", "alternative", failed=("ZT-3.9",)),
        row("too-much", "broken", ("ZT-1.1",), failed=("ZT-1.1", "ZT-1.2")),
        row("too-little", "broken", ("ZT-1.1", "ZT-1.2"), failed=("ZT-1.1",)),
        row("something-else", "broken", ("ZT-1.1",), failed=("ZT-1.2",)),
        row("partly-judged", "broken", ("ZT-1.1",), other=Outcome.NOT_GRADED),
        row("not-judged", "alternative", other=Outcome.NOT_GRADED),
        row("tampered", "broken", ("ZT-1.1",), other=Outcome.TAMPERED),
    ],
    ids=lambda wrong: str(wrong.variant.name),
)
def test_one_variant_that_is_not_graded_as_it_names_is_enough(wrong: Row) -> None:
    assert not wrong.ok
    assert not matrix(*KILLERS, wrong).ok


def test_a_check_that_no_broken_variant_fails_is_no_check() -> None:
    spared = matrix(*KILLERS[1:], row("not-judged", "broken", ("ZT-1.1",), (), Outcome.NOT_GRADED))
    assert spared.unkilled == ["ZT-1.1"]
    failed_by_the_reference = matrix(*KILLERS[1:], row("reference", "reference", failed=("ZT-1.1",)))
    assert failed_by_the_reference.unkilled == ["ZT-1.1"]
    assert not matrix(*KILLERS[1:]).ok
    assert matrix(*KILLERS[1:], whole=False).ok


def test_the_document_is_as_the_contract_says() -> None:
    document = matrix(row("reference", "reference"), row("faulty", "broken", ("ZT-2.1", "ZT-1.2"))).as_json()
    assert json.loads(json.dumps(document)) == {
        "lab": SLUG,
        "provider": "local",
        "checks": CHECKS,
        "variants": [
            {"name": "reference", "kind": "reference", "expected": [], "failed": [], "with": [], "ok": True},
            {
                "name": "faulty",
                "kind": "broken",
                "expected": ["ZT-1.2", "ZT-2.1"],
                "failed": ["ZT-1.2", "ZT-2.1"],
                "with": [],
                "ok": True,
            },
        ],
        "left_out": LEFT_OUT,
        "unkilled": [check for check in CHECKS if check not in {"ZT-1.2", "ZT-2.1"}],
        "ok": False,
    }


def test_the_table_is_as_the_golden_file() -> None:
    shown = matrix(
        row("reference", "reference"),
        row("other-way", "alternative"),
        row("as-named", "broken", ("ZT-1.2", "ZT-3.10")),
        row("too-little", "broken", ("ZT-1.1",), failed=()),
        row("too-much", "broken", ("ZT-1.1",), failed=("ZT-1.1", "ZT-2.2")),
        row("partly-judged", "broken", ("ZT-1.1",), other=Outcome.NOT_GRADED),
    )
    paper = Console(width=160, record=True, file=io.StringIO())
    paper.print(shown.as_table())
    text = "\n".join(line.rstrip() for line in paper.export_text().splitlines()) + "\n"
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (row("odd", "broken", ("ZT-1.1",), failed=("ZT-1.2",)), "odd: did not fail ZT-1.1 and failed ZT-1.2 too"),
        (
            row("odd", "broken", ("ZT-1.1",), other=Outcome.NOT_GRADED),
            "odd: partly_graded: some checks could not be judged",
        ),
    ],
)
def test_the_command_says_what_is_wrong_with_a_variant(
    wrong: Row, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "verify", lambda *_, **__: matrix(*KILLERS, wrong))
    with pytest.raises(VerifyError, match=rf"1 of {len(KILLERS) + 1} variants"):
        cli.verify_command(SLUG, as_json=True, course=COURSE)
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert json.loads(shown.out)["ok"] is False


def test_the_command_prints_the_table_and_is_content(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "verify", lambda *_, **__: GOOD)
    monkeypatch.setattr(console, "out", Console(width=200))
    cli.verify_command(SLUG, course=COURSE)
    assert "lacks-zt-3.10" in capsys.readouterr().out


def test_a_variant_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadInputError, match="no variant a-typo"):
        verify(COURSE, SLUG, lambda _: None, only=["a-typo", "reference"])


def test_answers_for_a_policy_engine_are_graded_where_there_is_one_or_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("graders.verify.locate", lambda name: Path("/built") if name == "kyverno" else None)
    variants = load_variants(COURSE, SPEC)
    assert {one.engine for one in wanted(variants, "local", ())} == {""}
    assert {one.engine for one in wanted(variants, "kind", ())} == {"", "kyverno"}
    assert set(left_out(variants, "local").values()) == {
        "since gatekeeper runs on provider kind only.",
        "since kyverno runs on provider kind only.",
    }
    assert set(left_out(variants, "kind").values()) == {"since gatekeeper is not built here. Run: make engines"}
    named = [one.name for one in variants if one.engine]
    engines = by_engine(wanted(variants, "kind", ["reference", *named]))
    assert next(iter(engines)) == "", "what needs no engine comes first"
    assert {name: {one.engine for one in some} for name, some in engines.items()} == {name: {name} for name in engines}
    for name in ("gatekeeper", "kyverno"):
        assert {one.kind for one in engines[name]} == {"alternative", "broken"}
    with pytest.raises(BadInputError, match="no variant zt-3-kyverno on local"):
        wanted(variants, "local", ["zt-3-kyverno"])


def test_what_was_left_out_is_told_though_its_engine_gets_built_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    built: dict[str, Path] = {}
    monkeypatch.setattr("graders.verify.locate", built.get)
    monkeypatch.setattr("graders.verify._handed_in", lambda *_: None)
    monkeypatch.setattr("graders.verify.grade_batch", lambda *_: built.update(gatekeeper=Path("/"), kyverno=Path("/")))

    def rows(groups: list[list[Variant]], _: None) -> list[Row]:
        return [row(one.name, one.kind, one.expected) for group in groups for one in group]

    monkeypatch.setattr("graders.verify._rows", rows)
    told = verify(COURSE, SLUG, lambda _: None, provider="kind")
    every = {one.name for one in load_variants(COURSE, SPEC) if one.kind != "hostile"}
    assert {one.variant.name for one in told.rows} | set(told.left_out) == every
    assert {name.rpartition("-")[2] for name in told.left_out} >= {"gatekeeper", "kyverno"}
