"""`python -m environments.kind.nodeimage`: get or build the node image now, before a test or a class waits for it."""

from __future__ import annotations

import sys

import typer

from environments import console
from environments.kind.engine import engine
from environments.kind.nodeimage import ensure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Get or build the image of a cluster's node, and print its name."""
    with engine() as client, console.progress("Node image of kind") as progress:
        name = ensure(client, progress)
    console.out.print(name)


if __name__ == "__main__":
    sys.exit(console.run(app))
