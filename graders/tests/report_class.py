"""A class of made-up results, for tests of reports: every kind of verdict, slow ones, twins, and one with a long name."""

from __future__ import annotations

from random import Random

from environments.labspec import LabSpec
from graders.report import Extras
from graders.verdicts import Asked, Outcome, Results, SubmissionResult, all_alike, conclude, judged

ADVICE = (
    "A token that another cloud, or nobody, has signed must not open this cloud's mount.\n\nAsk which keys it trusts."
)
SKIPPED = "This needs real traffic, which the local provider does not carry."


def asked(cloud: str, *, ok: bool | None) -> Asked:
    return Asked(
        cloud=cloud,
        request="log in to Vault as training/trainer with a token of azure's issuer",
        expected="refused",
        got="refused" if ok else "not asked" if ok is None else "allowed",
        detail="" if ok else "a token that can read kv/data/training/trainer",
        why="Whoever takes over one cloud must not become every workload of the others.",
        ok=ok,
    )


def class_of(spec: LabSpec, number: int) -> tuple[Results, dict[str, Extras]]:
    """`number` learners; the same ones each time."""
    chance = Random(209)
    submissions = [_submission(spec, index, chance) for index in range(number)]
    extras = {one.learner: _extras(one, index, chance) for index, one in enumerate(submissions)}
    return Results(lab=spec.slug, provider="local", submissions=submissions), extras


def _submission(spec: LabSpec, index: int, chance: Random) -> SubmissionResult:
    learner = (
        "a-learner.with@a-very-long-name.of.sixty-four.characters.example" if index == 11 else f"learner-{index:03}"
    )
    sha256 = f"{index if index % 25 else 1:064x}"
    if index % 20 == 3:
        reason = "Something was changed that learners may not change: vault: sys/audit; vault: sys/policies/acl/default"
        return all_alike(spec, learner, sha256, Outcome.TAMPERED, reason)
    if index % 15 == 4:
        reason = "zt-1-identity-federation.ipynb is not valid JSON (Expecting value)."
        return all_alike(spec, learner, None, Outcome.NOT_GRADED, reason)
    skill = 0 if index % 29 == 9 else chance.choice([0.6, 0.8, 0.95, 1])
    checks = [
        judged(spec, check.id, Outcome.PASSED if chance.random() < skill else Outcome.FAILED, ADVICE, 0.5)
        for check in spec.checks
    ]
    if index % 12 == 5:
        checks[:3] = [judged(spec, check.id, Outcome.NOT_GRADED, SKIPPED) for check in checks[:3]]
    return conclude(spec, learner, sha256, checks)


def _extras(one: SubmissionResult, index: int, chance: Random) -> Extras:
    if one.sha256 is None:
        return Extras()
    sent = tuple(
        asked(cloud, ok=ok) for ok in (True, False, None) for cloud in ("aws", "azure", "gcp") for _ in range(4)
    )
    cage = 90.0 if index % 31 == 11 else 3 + chance.random()
    return Extras(
        notes=("model.bin was left out: files of this kind are not graded.",),
        asked={check.id: sent for check in one.checks},
        seconds={"reset": 0.4 + chance.random() / 5, "cage": cage, "settle": 0.3, "judge": 2.5 + chance.random()},
    )
