"""The learner's commands of `mod209`: footprints, self-checks and tools."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from environments import console
from environments.course import course_dir, own_params
from environments.doctor.cli import doctor_command
from environments.footprint import Part, attach, footprint_dir, forget, is_running, start
from environments.handin.cli import submit_command
from environments.jupyter.cli import lab_command
from environments.lab.cli import apply_command, check_command
from environments.labspec import load_lab
from environments.params import read_params
from environments.toolchain.cli import tools_command

Lab = Annotated[str, typer.Argument(help="The lab, such as zero-trust.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
MIB = 1 << 20

app = typer.Typer(
    name="mod209",
    help="Lab environment and grader of MOD-209, Security & Compliance for ML Systems.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up(
    lab: Lab,
    provider: Annotated[str, typer.Option(help="Where the clouds run: local or kind.")] = "local",
    params: Annotated[
        Path | None, typer.Option(help="Your parameters (JSON). Default: params.json of your bundle.")
    ] = None,
    engine: Annotated[str, typer.Option(help="A policy engine beside OPA, on kind: gatekeeper or kyverno.")] = "",
    as_json: Json = False,
) -> None:
    """Start the footprint of a lab: three clouds, an OPA for each, and Vault."""
    began = time.monotonic()
    course = course_dir()
    load_lab(course, lab)  # a typing error must not start twelve servers
    directory = footprint_dir(lab)
    if is_running(directory):
        console.err.print(f"The footprint of {lab} is running already.")
    else:
        facts = read_params(params) if params else own_params(course)
        with console.progress(f"Starting {lab} on {provider}") as progress:
            start(lab, provider=provider, params=facts, course=course, progress=progress, engine=engine)
    status = attach(lab).status()
    seconds = round(time.monotonic() - began, 2)
    result = {key: status[key] for key in ("rss_bytes", "clouds", "vault", "ready")}
    if as_json:
        console.print_json({"provider": provider, "seconds": seconds, **result})
        return
    for name, url in status["clouds"].items():
        console.out.print(f"  {name:6} {url}")
    console.out.print(f"  vault  {status['vault']}")
    _show_lacking(status)
    console.out.print(
        f"Ready after {seconds:.1f} s, {status['rss_bytes'] / MIB:.0f} MiB in memory. Stop it with: mod209 down {lab}"
    )


@app.command("status")
def status_command(lab: Lab, as_json: Json = False) -> None:
    """Show whether each server of the footprint runs."""
    status = attach(lab).status()
    if as_json:
        console.print_json(status)
        return
    table = Table("server", "state", "pid", "memory", box=None)
    for name, server in status["servers"].items():
        mark = "✓" if server["state"] == "running" else "✗"
        table.add_row(name, f"{mark} {server['state']}", str(server["pid"]), f"{server['rss_bytes'] / MIB:.0f} MiB")
    console.out.print(table)
    _show_lacking(status)
    console.out.print(f"Logs: {footprint_dir(lab) / 'logs'}", soft_wrap=True)


def _show_lacking(status: dict[str, Any]) -> None:
    """What a task of the lab needs and the footprint lacks."""
    for capability, reason in status["without"].items():
        if reason:
            console.out.print(f"  {capability}: not available: {reason}", soft_wrap=True)


@app.command()
def reset(
    lab: Lab,
    only: Annotated[Part | None, typer.Option(help="Reset one part only, to undo a lock-out.")] = None,
    as_json: Json = False,
) -> None:
    """Bring the footprint back to its clean state, and prove that it is clean."""
    report = attach(lab).reset(only)
    if as_json:
        console.print_json(report)
        return
    for name, cloud in report.get("etcd", {}).items():
        console.out.print(
            f"  {name:6} {cloud['keys_restored']} keys put back, digest {cloud['digest'][:16]} as at the start"
        )
    if vault := report.get("vault"):
        console.out.print(f"  vault  {vault['paths']} paths compared, digest {vault['digest'][:16]} as at the start")
    if "opa" in report:
        console.out.print("  opa    only our own policy modules are loaded")
    console.out.print(f"Clean after {report['seconds'] * 1000:.0f} ms.")


@app.command()
def down(lab: Lab) -> None:
    """Stop the footprint. Your notebooks and files stay as they are."""
    if not is_running(footprint_dir(lab)):
        left = forget(lab)
        console.out.print(f"The footprint of {lab} is not running." + (" What it left is removed." if left else ""))
        return
    attach(lab).down()
    console.out.print(f"The footprint of {lab} is stopped.")


app.command("apply")(apply_command)
app.command("check")(check_command)
app.command("submit")(submit_command)
app.command("lab")(lab_command)
app.command("tools")(tools_command)
app.command("doctor")(doctor_command)


def main() -> int:
    """Entry point of a learner's install."""
    return console.run(app)
