"""JUnit XML of a batch, for programs that show test results: one suite a learner, one case a check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from xml.etree import ElementTree as ET

from environments.labspec import LabSpec
from graders.report.timing import Seconds
from graders.verdicts import CheckVerdict, Outcome, Results, SubmissionResult


def junit_xml(spec: LabSpec, results: Results, made: datetime, seconds: Seconds | None = None) -> bytes:
    """The batch as JUnit XML: not passed is a failure, not graded is skipped with its reason, tampered is an error.

    A suite's time is what its submission took on the clock, by `seconds`, or else what its checks took.
    """
    root = ET.Element("testsuites", name=f"{spec.slug} {spec.version}")
    for submission in results.submissions:
        root.append(_suite(spec, results, submission, made, (seconds or {}).get(submission.learner, {})))
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _suite(
    spec: LabSpec, results: Results, submission: SubmissionResult, made: datetime, taken: Mapping[str, float]
) -> ET.Element:
    outcomes = [check.outcome for check in submission.checks]
    suite = ET.Element(
        "testsuite",
        name=submission.learner,
        timestamp=made.isoformat(timespec="seconds"),
        tests=str(len(outcomes)),
        failures=str(outcomes.count(Outcome.FAILED)),
        errors=str(outcomes.count(Outcome.TAMPERED)),
        skipped=str(outcomes.count(Outcome.NOT_GRADED)),
        time=f"{sum(taken.values()) if taken else sum(check.seconds for check in submission.checks):.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("lab", spec.slug),
        ("provider", results.provider),
        ("verdict", submission.verdict.value),
        ("score", "" if submission.score is None else str(submission.score)),
        ("max_score", str(submission.max_score)),
        ("sha256", submission.sha256 or ""),
        ("error", submission.error or ""),
    ):
        ET.SubElement(properties, "property", name=name, value=value)
    titles = {check.id: check.title for check in spec.checks}
    suite.extend(_case(check, titles[check.id]) for check in submission.checks)
    return suite


def _case(check: CheckVerdict, title: str) -> ET.Element:
    case = ET.Element("testcase", classname=check.task, name=f"{check.id} {title}", time=f"{check.seconds:.3f}")
    tags = {Outcome.FAILED: "failure", Outcome.NOT_GRADED: "skipped", Outcome.TAMPERED: "error"}
    if tag := tags.get(check.outcome):
        ET.SubElement(case, tag, message=check.message)
    return case
