"""One submission of the reference: each step of its way, and the judge's probes side by side beside one after another.

`python -m graders.benchmarks.bench_submission [--json] [--rounds N]`, as root, in the course's folder.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from environments.access import Access
from environments.benchmarks.table import Row, main, row, seconds
from environments.footprint import Footprint, temporary
from environments.labspec import LabSpec, load_lab
from environments.params import derive
from environments.probes import Probe, Prober
from environments.probes import engine as probe_engine
from graders.cage import BubblewrapCage, Job
from graders.intake import lab_notebooks
from graders.judge import Judge
from graders.probeset import load_all, seed
from graders.variants import load_variants, write_submission
from graders.verify import TERM_KEY

COURSE = Path(__file__).parents[2]
GOAL_JUDGE_SECONDS = 5.0
LEARNER = "bench"


def measure(rounds: int) -> Iterator[Row]:
    """Steps of `rounds` submissions on one footprint, each beside the whole of its submission."""
    spec = load_lab(COURSE, "zero-trust")
    # What destroys would leave nothing to log in with for the next round of the same submission.
    probes = [probe for probe in load_all(COURSE, spec) if not probe.destroys]
    times: dict[str, list[float]] = {"reset": [], "cage": [], "settle": [], "judge": []}
    side_by_side, in_turn = [], []
    with tempfile.TemporaryDirectory() as folder, temporary(spec.slug) as footprint, Judge() as judge:
        files = Path(folder) / spec.slug
        write_submission(COURSE, spec, load_variants(COURSE, spec)[:1], files)
        for _ in range(rounds):
            steps = _steps(footprint, spec, files)
            for name in ("reset", "cage", "settle"):
                times[name].append(seconds(steps[name]))
            access = footprint.access("judge")
            side_by_side.append(_probe(footprint, access, probes))
            in_turn.append(_probe(footprint, access, probes, threads=1))
            times["judge"].append(seconds(partial(_judge, judge, footprint, access, spec)))
    medians = {name: 1000 * statistics.median(values) for name, values in times.items()}
    whole = sum(medians.values())
    for name, value in medians.items():
        yield row(f"{name} / the whole way of a submission", "ms", value, whole)
    yield row("judge / the goal", "ms", medians["judge"], 1000 * GOAL_JUDGE_SECONDS)
    peer = 1000 * statistics.median(in_turn)
    yield row("all probes side by side / one after another", "ms", 1000 * statistics.median(side_by_side), peer)


def _steps(footprint: Footprint, spec: LabSpec, files: Path) -> dict[str, Callable[[], object]]:
    def cage() -> None:
        access = footprint.access("operator")
        BubblewrapCage().run(
            Job(
                files=files,
                notebooks=tuple(lab_notebooks(spec)),
                access=access.model_dump_json().encode(),
                ports=access.ports(),
                course=COURSE / "labs" / spec.slug,
            )
        )

    reset = derive(LEARNER, TERM_KEY)
    return {"reset": lambda: footprint.reset(params=reset), "cage": cage, "settle": footprint.settle}


def _judge(judge: Judge, footprint: Footprint, access: Access, spec: LabSpec) -> None:
    found = judge.judge(access, spec, load_all(COURSE, spec), footprint.capabilities, seed(TERM_KEY, LEARNER))
    if any(verdict.outcome != "passed" for verdict in found.checks):
        raise RuntimeError("the reference does not pass: these figures would mean nothing")


def _probe(footprint: Footprint, access: Access, probes: list[Probe], threads: int = probe_engine.THREADS) -> float:
    usual, probe_engine.THREADS = probe_engine.THREADS, threads
    try:
        return seconds(lambda: Prober(access, footprint.capabilities, bytes(32)).run(probes))
    finally:
        probe_engine.THREADS = usual


if __name__ == "__main__":
    main(__doc__ or "", measure, rounds=3)
