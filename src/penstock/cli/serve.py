"""`run`, `dev` and `check`: what takes the user's file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import DATA, Data, Target

Host = Annotated[str, typer.Option(help="The address to listen on; loopback only.")]
Port = Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")]
Workers = Annotated[int, typer.Option(help="Worker processes; 0: one a core.", min=0)]
Against = Annotated[str | None, typer.Option(help="Compare with what is there: http://HOST:PORT or a data directory.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Draw the graph into this file: .svg, .mmd (Mermaid), .dot, .json or .txt.", dir_okay=False),
]
AsPlan = Annotated[
    bool,
    typer.Option("--plan", help="Print the plan as JSON, for programs: topics, stages, models, and who does what."),
]
Log = Annotated[
    str | None,
    typer.Option(
        help="Where events are kept: sqlite:DIR, which is the same as --data DIR; or kafka://HOST:PORT[,HOST:PORT…]"
        "\\[/NAMESPACE], shared by every host that is told so. Then --data holds only what this host needs."
    ),
]

Artifacts = Annotated[
    str,
    typer.Option(
        envvar="PENSTOCK_ARTIFACTS",
        show_default="the data directory",
        help="Where models' artifacts are kept for every host: s3://, gs:// or az://BUCKET\\[/FOLDER], or file:///FOLDER"
        " that all of them mount. Then --data holds copies of those that this host used.",
    ),
]


def run(
    app: Target,
    data: Data = DATA,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 0,
    log: Log = None,
    artifacts: Artifacts = "",
) -> None:
    """Serve an app: take events over HTTP, run its stages, keep what they make."""
    _supervise(app, data, host, port, workers, log, artifacts, reload=False)


def dev(
    app: Target,
    data: Data = DATA,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    log: Log = None,
    artifacts: Artifacts = "",
) -> None:
    """Like run, and again whenever the app's files change; what was published stays."""
    from ..settings import DEV

    os.environ[DEV] = "1"
    _supervise(app, data, host, port, workers, log, artifacts, reload=True)


def check(app: Target, against: Against = None, out: Out = None, plan: AsPlan = False) -> None:
    """Import an app, draw its graph, and say what could not run: file, line, and what to write instead.

    Exit code 1 with findings that would keep it from running.
    """
    from ..declare.checking.drawing import drawn
    from ..declare.checking.graph import as_text
    from ..errors import CannotStart
    from ..plan.codec import as_json
    from ..run.check import check as look
    from .against import findings

    checked = look(app, os.environ, try_out=True)
    resolved = checked.resolved
    print(as_json(resolved.plan) if plan else as_text(resolved.plan))
    found = [*resolved.findings, *(findings(checked.here, against) if against else ())]
    for finding in found:
        print(f"{finding.severity}: {finding}", file=sys.stderr)
    if out is not None:
        try:
            out.write_text(drawn(resolved.plan, out.name), encoding="utf-8")
        except OSError as error:
            raise CannotStart(f"--out {out} cannot be written: {error.strerror or error}") from None
    if any(finding.severity == "error" for finding in found):
        raise typer.Exit(1)


def _supervise(
    target: str, data: Path, host: str, port: int, workers: int, log: str | None, artifacts: str, *, reload: bool
) -> None:
    from ..errors import CannotStart
    from ..run.streams import open_standard_streams
    from ..run.supervisor.loop import Options, Supervisor
    from ..telemetry import log_to_stderr, logger

    open_standard_streams()
    kind, _, place = (log or "").partition(":")
    if kind == "sqlite" and place:
        data, log = Path(place), None
    elif log is not None and not (kind.startswith("kafka") and place):
        raise CannotStart(
            f"--log {log}: no such log; there are sqlite:DIR, the same as --data DIR, and kafka://HOST:PORT"
        )
    log_to_stderr("supervisor")
    if log and not artifacts:
        logger(__name__).warning(
            "models stay on the host that they are registered on; for several hosts start each with the same "
            "--artifacts, such as s3://BUCKET/models"
        )
    Supervisor(Options(target, data, workers or _cores(), host, port, reload, log or "", artifacts), _say).run()


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(line: str) -> None:
    print(line, flush=True)
