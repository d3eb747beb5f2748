"""`run`, `dev` and `check`: what takes the user's file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import DATA, Data, Target

Host = Annotated[str, typer.Option(help="The address to listen on; without --access loopback only.")]
Port = Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")]
Workers = Annotated[int, typer.Option(help="Worker processes; 0: one a core.", min=0)]
Against = Annotated[str | None, typer.Option(help="Compare with what is there: http://HOST:PORT or a data directory.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Draw the graph into this file: .svg, .mmd (Mermaid), .dot, .json or .txt.", dir_okay=False),
]
AsPlan = Annotated[
    bool,
    typer.Option(
        "--plan", help="Print the plan as JSON, for programs: topics, stages, subscriptions, models, and who does what."
    ),
]
Held = Annotated[
    str | None, typer.Option(help="Say what this one could not hold: azure or kubernetes; see penstock deploy.")
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

Deliver = Annotated[bool, typer.Option("--deliver", help="Send webhooks for real, to whom the app's file names.")]
Access = Annotated[
    str,
    typer.Option(
        metavar="keys",
        envvar="PENSTOCK_ACCESS",
        show_default="nobody is asked, and only this machine is served",
        help="Let in who shows a key, made with `penstock keys create`, and then on any --host.",
    ),
]
Only = Annotated[
    str,
    typer.Option(
        metavar="gateway|workers|courier",
        show_default="all",
        help="Run the doors alone, the stages alone, or what delivers to subscriptions alone; the others run elsewhere,"
        " with the same --log kafka://… and --artifacts, and each scales apart.",
    ),
]
ProbesAt = Annotated[
    str,
    typer.Option(
        "--probes",
        metavar="HOST:PORT",
        envvar="PENSTOCK_PROBES",
        show_default="nowhere",
        help="Also answer GET /healthz, /readyz and /metrics of this run here, and nothing else; any address, such as "
        "0.0.0.0:8081 for a kubelet's probes.",
    ),
]
TLSCertificate = Annotated[
    str,
    typer.Option(
        "--tls-certificate",
        metavar="FILE",
        envvar="PENSTOCK_TLS_CERTIFICATE",
        show_default="no TLS",
        help="Speak HTTPS at the doors, and nothing else: the certificate in PEM, with those between it and an "
        "authority behind it. One that is put in its place is taken up without a restart.",
    ),
]
TLSKey = Annotated[
    str,
    typer.Option(
        "--tls-key",
        metavar="FILE",
        envvar="PENSTOCK_TLS_KEY",
        show_default="in the certificate's file",
        help="Its private key in PEM, not encrypted.",
    ),
]
TLSClientCA = Annotated[
    str,
    typer.Option(
        "--tls-client-ca",
        metavar="FILE",
        envvar="PENSTOCK_TLS_CLIENT_CA",
        show_default="none are asked for",
        help="Ask clients for certificates, of these authorities.",
    ),
]
TLSClients = Annotated[
    str,
    typer.Option(
        "--tls-clients",
        metavar="required|optional",
        envvar="PENSTOCK_TLS_CLIENTS",
        show_default="required",
        help="May clients without a certificate come in?",
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
    only: Only = "",
    probes: ProbesAt = "",
    access: Access = "",
    tls_certificate: TLSCertificate = "",
    tls_key: TLSKey = "",
    tls_client_ca: TLSClientCA = "",
    tls_clients: TLSClients = "",
) -> None:
    """Serve an app: take events over HTTP, run its stages, keep what they make."""
    tls = (tls_certificate, tls_key, tls_client_ca, tls_clients)
    _supervise(app, data, host, port, workers, log, artifacts, only, probes, access, tls=tls)


def dev(
    app: Target,
    data: Data = DATA,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    log: Log = None,
    artifacts: Artifacts = "",
    deliver: Deliver = False,
    tls_certificate: TLSCertificate = "",
    tls_key: TLSKey = "",
    tls_client_ca: TLSClientCA = "",
    tls_clients: TLSClients = "",
) -> None:
    """Like run, and again whenever the app's files change; what was published stays.

    Webhooks go to nobody: a page of the run shows them, and lets you choose what they are answered.
    """
    from ..settings import DEV

    os.environ[DEV] = "1"
    tls = (tls_certificate, tls_key, tls_client_ca, tls_clients)
    _supervise(app, data, host, port, workers, log, artifacts, reload=True, catch=not deliver, tls=tls)


def check(app: Target, against: Against = None, out: Out = None, plan: AsPlan = False, target: Held = None) -> None:
    """Import an app, draw its graph, and say what could not run: file, line, and what to write instead.

    Exit code 1 with findings that would keep it from running.
    """
    from ..declare.checking.drawing import draw
    from ..declare.checking.graph import as_text, graph_of
    from ..deploy.targets import not_held
    from ..deploy.targets import target as named
    from ..plan.codec import as_json
    from ..run.check import check as look
    from .against import findings

    if target is not None:
        named(target)  # before the app's code runs
    checked = look(app, os.environ, try_out=True)
    resolved = checked.resolved
    print(as_json(resolved.plan) if plan else as_text(resolved.plan))
    found = [*resolved.findings, *(findings(checked.here, against) if against else ())]
    if target is not None and not any(finding.severity == "error" for finding in resolved.findings):
        found += not_held(checked.here, target)
    for finding in found:
        print(f"{finding.severity}: {finding}", file=sys.stderr)
    if out is not None:
        draw(graph_of(resolved.plan), out, "--out", as_text(resolved.plan))
    if any(finding.severity == "error" for finding in found):
        raise typer.Exit(1)


def _supervise(
    target: str,
    data: Path,
    host: str,
    port: int,
    workers: int,
    log: str | None,
    artifacts: str,
    only: str = "",
    probes: str = "",
    access: str = "",
    *,
    reload: bool = False,
    catch: bool = False,
    tls: tuple[str, str, str, str],
) -> None:
    from ..errors import CannotStart
    from ..gateway.tls.certificates import TLSFiles
    from ..loopback import is_loopback
    from ..run.streams import open_standard_streams
    from ..run.supervisor.loop import Supervisor
    from ..run.supervisor.options import Options
    from ..run.supervisor.sockets import parsed
    from ..telemetry import log_to_stderr, logger

    open_standard_streams()
    kind, _, place = (log or "").partition(":")
    if kind == "sqlite" and place:
        data, log = Path(place), None
    elif log is not None and not (kind.startswith("kafka") and place):
        raise CannotStart(
            f"--log {log}: no such log; there are sqlite:DIR, the same as --data DIR, and kafka://HOST:PORT"
        )
    _check_half(only, log)
    if access not in ("", "keys"):
        raise CannotStart(f"--access {access}: there is keys, or nothing")
    if only in ("", "gateway"):
        _check_issuer(access)
    log_to_stderr("supervisor")
    if log and not artifacts and only != "courier":  # which has no use for models
        logger(__name__).warning(
            "models stay on the host that they are registered on; for several hosts start each with the same "
            "--artifacts, such as s3://BUCKET/models"
        )
    options = Options(
        target,
        data,
        workers or _cores(),
        host,
        port,
        reload,
        log or "",
        artifacts,
        only,
        parsed(probes, "--probes") if probes else None,
        catch,
        access,
        TLSFiles.given(*tls) if only in ("", "gateway") else None,
    )
    if access and options.tls is None and not is_loopback(host):
        logger(__name__).warning(
            "keys come here in the clear: give --tls-certificate, or let nobody reach this address but a proxy that "
            "speaks TLS"
        )
    Supervisor(options, _say).run()


def _check_issuer(access: str) -> None:
    """Raises ``DeclarationError`` for settings of access that could not work, or that nobody looks at."""
    from ..access.admin import admin_key_from_env
    from ..access.oidc.open import checked_issuer
    from ..access.sas import secret_from_env
    from ..errors import DeclarationError

    secret_from_env()
    admin_key_from_env()
    if any(name.startswith("PENSTOCK_OIDC_") for name in os.environ):
        if not access:
            raise DeclarationError(
                "PENSTOCK_OIDC_… says whose tokens are believed, and nobody is asked: add --access keys"
            )
        checked_issuer()


def _check_half(only: str, log: str | None) -> None:
    """Raises ``CannotStart`` for another word, and where the two halves would have no log in common."""
    from ..errors import CannotStart

    if only not in ("", "gateway", "workers", "courier"):
        raise CannotStart(
            f"--only {only}: there are gateway, the doors alone, workers, the stages alone, and courier, what delivers "
            "to subscriptions"
        )
    if only and not log:
        raise CannotStart(
            f"--only {only} needs a log that both halves reach, and a data directory is one run's alone: give both the "
            "same --log kafka://HOST:PORT, or leave --only out"
        )


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(line: str) -> None:
    print(line, flush=True)
