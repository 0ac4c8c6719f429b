"""Write all of a batch's reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from environments.labspec import LabSpec
from environments.storage import write_whole
from graders.report.extras import Extras
from graders.report.feedback import feedback_page
from graders.report.grades import grades_csv
from graders.report.junit import junit_xml
from graders.report.overview import feedback_name, overview_page
from graders.verdicts import Results


def write_report(
    out: Path,
    spec: LabSpec,
    results: Results,
    extras: Mapping[str, Extras] | None = None,
    made: datetime | None = None,
) -> None:
    """Write `index.html`, `feedback/<learner>.html` for each learner, `grades.csv` and `junit.xml` into `out`.

    Args:
        out: the batch's folder; made where it does not exist.
        spec: the lab.
        results: the batch.
        extras: by learner, what happened on the way. Each is looked up once and let go before the next, so that a
            mapping that reads from disk keeps memory flat.
        made: when the batch was graded, with its time zone; now, if not given.

    Raises:
        StorageError: a file cannot be written.
    """
    made = made or datetime.now(UTC)
    seconds = _write_feedback(out / "feedback", spec, results, {} if extras is None else extras, made)
    write_whole(out / "grades.csv", grades_csv(spec, results))
    write_whole(out / "junit.xml", junit_xml(spec, results, made, seconds))
    write_whole(out / "index.html", overview_page(spec, results, made, seconds).encode())


def _write_feedback(
    folder: Path, spec: LabSpec, results: Results, extras: Mapping[str, Extras], made: datetime
) -> dict[str, dict[str, float]]:
    """Write every learner's page; by learner, the seconds of each step."""
    seconds: dict[str, dict[str, float]] = {}
    for result in results.submissions:
        found = extras.get(result.learner, Extras())
        page = feedback_page(spec, results.provider, result, found, made)
        write_whole(folder / feedback_name(result.learner), page.encode())
        seconds[result.learner] = dict(found.seconds)
    return seconds
