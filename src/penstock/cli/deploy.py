"""`deploy`: what an app needs of a cloud, and the Pulumi project that makes it there."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json, Target

if TYPE_CHECKING:
    from ..declare.planning.findings import Finding
    from ..deploy.project.write import WrittenProject
    from ..run.check import CheckedApp

On = Annotated[str, typer.Option("--target", help="Where to: azure or kubernetes.", show_default=False)]
Dry = Annotated[bool, typer.Option("--dry-run", help="Show what is needed, and why; change nothing.")]
Drawing = Annotated[
    Path | None,
    typer.Option("--draw", help="Draw it into this file: .svg, .mmd (Mermaid), .dot or .json.", dir_okay=False),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", help="The Pulumi project's directory.", show_default="deploy/TARGET beside the app", file_okay=False
    ),
]
Stack = Annotated[str, typer.Option(help="Which of the project's stacks: one a place that it is deployed to.")]
WriteOnly = Annotated[bool, typer.Option("--write-only", help="Write the project, and stop.")]
Preview = Annotated[bool, typer.Option("--preview", help="Write it, show what Pulumi would change, and stop.")]
Yes = Annotated[bool, typer.Option("--yes", help="Apply it without asking.")]


Access = Annotated[
    str | None,
    typer.Option(
        help="Open the doors to whoever shows who he is: keys, and with commas oidc (tokens of an issuer) and sas "
        "(signatures of Azure's clients).",
        show_default="as the project was written; else they stay closed",
    ),
]


def deploy(
    app: Target,
    to: On,
    out: Out = None,
    stack: Stack = "dev",
    access: Access = None,
    dry_run: Dry = False,
    write_only: WriteOnly = False,
    preview: Preview = False,
    yes: Yes = False,
    draw: Drawing = None,
    as_json: Json = False,
) -> None:
    """Make what an app needs of a cloud: topics, stores, services, secrets, and who may do what with them.

    All of it follows from the app's file. --dry-run shows it, each row with why: a line of the app, or a rule of the
    house. Else it is written as a Pulumi project, which is yours: in it, only generated/ is written anew the next time.
    README.md there says what to do once, such as building the image.

    Then, with the Pulumi CLI and once nothing is missing, it shows what would change, asks, and applies it.

    What the target cannot hold is told with its line and what to write instead; then the exit code is 1, and nothing is
    written.
    """
    from ..deploy.targets import target
    from ..errors import CannotStart
    from ..run.check import check

    steps = {"--dry-run": dry_run, "--write-only": write_only, "--preview": preview, "--yes": yes}
    if len(given := [name for name, is_given in steps.items() if is_given]) > 1:
        raise CannotStart(f"{given[0]} and {given[1]}: each says where to stop; choose one")
    if not dry_run and (draw or as_json):
        raise CannotStart(f"{'--draw' if draw else '--json'} shows what is needed: write --dry-run with it")
    if dry_run and out:
        raise CannotStart("--out is where the project is written, and --dry-run writes nothing: choose one")
    target(to)  # before the app's code runs
    checked = check(app, None)
    _tell(finding for finding in checked.resolved.findings if finding.severity == "error" or not dry_run)
    if dry_run:
        _show(checked, to, draw, as_json, access or "")
        return
    _deploy(_write(checked, to, out, access), stack, write_only=write_only, preview=preview, yes=yes)


def _show(checked: CheckedApp, to: str, draw: Path | None, as_json: bool, access: str) -> None:
    from ..declare.checking import drawing
    from ..deploy.access import DoorAccess, with_access
    from ..deploy.drawing import graph_of
    from ..deploy.requirements import requirements_of
    from ..deploy.table import needed_rows, outside_rows, right_rows
    from ..deploy.targets import not_held, target
    from .show import lines, rows

    asked = DoorAccess.parse(access)
    needed = with_access(requirements_of(checked.resolved.plan), asked)
    if draw is not None:
        drawing.draw(graph_of(needed), draw, "--draw")
    if as_json:
        lines({"table": "needed", **row} for row in needed_rows(needed))
        lines({"table": "rights", **row} for row in right_rows(needed))
        lines({"table": "outside", **row} for row in outside_rows(needed))
    else:
        rows(f"{needed.app} needs", ["what", "name", "details", "why"], needed_rows(needed), as_json=False)
        print()
        columns = ["service", "who", "right", "what", "group", "why"]
        rows("who may do what", columns, right_rows(needed), as_json=False)
        if outside := list(outside_rows(needed)):
            print()
            rows("who may do what from outside", ["who", "right", "what", "why"], outside, as_json=False)
        print("", *(f"on {to}: {remark}" for remark in target(to).remarks), sep="\n")
    _tell(not_held(checked.here, to, asked))


def _write(checked: CheckedApp, to: str, out: Path | None, access: str | None) -> WrittenProject:
    from ..deploy.access import DoorAccess
    from ..deploy.project.directory import access_of
    from ..deploy.project.write import write
    from ..deploy.targets import not_held

    directory = out or checked.folder / "deploy" / to
    asked = DoorAccess.parse(access_of(directory) if access is None else access)
    _tell(not_held(checked.here, to, asked))
    project = write(checked, to, directory, access)
    for remark in project.remarks:
        print(f"note: {remark}", file=sys.stderr)
    again = "" if project.is_new else " again"
    print(f"written{again}: {project.directory}; README.md there says what comes next", flush=True)
    return project


def _deploy(project: WrittenProject, stack: str, *, write_only: bool, preview: bool, yes: bool) -> None:
    from ..deploy.project.pulumi import Pulumi

    if write_only:
        return
    pulumi = Pulumi(project, stack)
    pulumi.check_ready()
    pulumi.preview()
    if preview:
        return
    if not yes and not sys.stdin.isatty():
        print("nothing is applied: there is nobody to ask here; --yes applies it without asking", file=sys.stderr)
        raise typer.Exit(1)
    if not yes and not typer.confirm(f"Apply this to the stack {stack}?"):
        print("nothing is applied")
        raise typer.Exit(1)
    pulumi.apply()


def _tell(findings: Iterable[Finding]) -> None:
    """Raises ``typer.Exit`` with an error among them. Warnings are those of ``check``, but for what the target adds."""
    found = list(findings)
    errors = [finding for finding in found if finding.severity == "error"]
    for finding in found:
        print(f"{finding.severity}: {finding}", file=sys.stderr)
    if errors:
        raise typer.Exit(1)
