"""Policy engines beside OPA, on clusters: an answer counts however it was reached, and the clean room knows the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from environments.errors import FootprintError
from environments.footprint import Footprint, temporary
from environments.kind.policyengines import ENGINE_NAMES
from environments.kind.prepare import reach_daemon
from environments.lab.api import Lab
from environments.lab.magic import write_artifact
from environments.labspec import load_lab
from environments.probes import load_probes
from environments.toolchain import locate
from graders.judge import Judge
from graders.variants import Variant, load_variants, write_submission
from graders.verdicts import Outcome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,
    pytest.mark.clusters,
    pytest.mark.thorough,
    pytest.mark.timeout(1800),
]
COURSE = Path(__file__).parents[2]
LAB = load_lab(COURSE, "zero-trust")
SPEC = LAB.model_copy(update={"tasks": [LAB.task("ZT-3")]})
PROBES = [
    probe
    for where, visible in (("labs", True), ("solutions", False))
    for probe in load_probes(COURSE / where / LAB.slug / "probes", visible=visible)
    if probe.task == "ZT-3"
]
VARIANTS = load_variants(COURSE, LAB)


@pytest.fixture(params=ENGINE_NAMES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clusters(engine: str) -> Iterator[Footprint]:
    if locate(engine) is None:
        pytest.skip(f"{engine} is not built here: make engines")
    try:
        reach_daemon()
    except FootprintError as error:
        pytest.skip(error.message)
    with temporary(LAB.slug, provider="kind", engine=engine, course=COURSE) as running:
        yield running


def answer(variant: Variant, footprint: Footprint, folder: Path) -> None:
    """Run a variant's own cells as the operator, in order."""
    assert variant.file
    write_submission(COURSE, SPEC, [variant], folder / "submission")
    notebook = json.loads((folder / "submission" / SPEC.tasks[0].notebook).read_text())
    cells = {cell["metadata"].get("nbgrader", {}).get("grade_id"): cell for cell in notebook["cells"]}
    with closing(Lab(LAB.slug, footprint.access("operator"), folder)) as lab:
        names: dict[str, Any] = {"lab": lab, "Path": lambda name: folder / name}
        for name in variant.file.cells:
            text = "".join(cells[name]["source"])
            if text.startswith("%%artifact "):
                line, _, body = text.partition("\n")
                write_artifact(lab, line.removeprefix("%%artifact "), body)
            else:
                exec(text, names)


def lost(footprint: Footprint) -> set[str]:
    assert footprint.settle()["tampered"] == []
    with Judge() as judge:
        found = judge.judge(footprint.access("judge", SPEC.needs), SPEC, PROBES, footprint.capabilities, b"term").checks
    unclear = {one.id: one.message for one in found if one.outcome not in {Outcome.PASSED, Outcome.FAILED}}
    assert unclear == {}
    return {one.id for one in found if one.outcome is Outcome.FAILED}


def test_answers_for_an_engine_are_judged_by_what_the_cloud_does(
    engine: str, clusters: Footprint, tmp_path: Path
) -> None:
    mine = [variant for variant in VARIANTS if variant.engine == engine]
    assert {variant.kind for variant in mine} == {"alternative", "broken"}
    for variant in mine:
        clusters.reset()
        (tmp_path / variant.name).mkdir()
        answer(variant, clusters, tmp_path / variant.name)
        assert lost(clusters) == set(variant.expected), variant.name
    clusters.reset()
    assert "ZT-3.2" in lost(clusters), "what was there before is gone, and nothing is refused any more"
