"""nbgrader in this course: it releases and exchanges notebooks, and keeps the gradebook. It does not judge.

Verdicts come from `mod209 grade`, which writes them into a `gradebook.db`; formgrader shows what intake left of the
submissions, from `autograded/` beside it. nbgrader's own autograding would run learners' code unconfined and take its
word for the grade, so it is refused here.
"""

from __future__ import annotations

from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor

c = get_config()  # type: ignore[name-defined]  # noqa: F821  nbgrader defines it


class RefuseAutograde(NbGraderPreprocessor):  # type: ignore[misc]
    """Stops `nbgrader autograde` before anything of a submission runs."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:  # noqa: ARG002  nbgrader calls it so
        """Refuse.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("nbgrader does not judge in this course. Run: mod209 grade LAB SUBMITTED_DIR --out OUT")


c.Autograde.sanitize_preprocessors = [RefuseAutograde]
c.ClearSolutions.code_stub = {"python": "# Your answer here\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "*Your answer here*"
