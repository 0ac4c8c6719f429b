"""The command `mod209`, whole: what learners, instructors and maintainers call."""

from __future__ import annotations

from assessment.demo import demo_command
from environments import console
from environments.cli import app
from graders.cli import add_commands

add_commands(app)
app.command("demo")(demo_command)


def main() -> int:
    """Entry point of a full install."""
    return console.run(app)
