"""What people read of a batch: a page for each learner, an overview, JUnit XML and a summary on the terminal."""

from __future__ import annotations

from graders.report.batch import write_report
from graders.report.extras import Extras
from graders.report.terminal import summary

__all__ = ["Extras", "summary", "write_report"]
