"""`keys`: who may come in, and what each may do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import URL, Json, Url

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: a person, a program or a tenant.")]
Allow = Annotated[
    str,
    typer.Option(
        metavar="VERB:NAME[,…]",
        help="What it may do, such as append:orders,read:scores, read:*, score:delay; or admin, operator, publisher, "
        "reader, scorer, monitor.",
    ),
]
Days = Annotated[float | None, typer.Option(help="How long it opens something; for ever when absent.")]
Rate = Annotated[float | None, typer.Option(help="Requests a second that each gateway takes of it; else any number.")]
Sas = Annotated[
    bool, typer.Option("--sas", help="Also show a key in base64 by which Event Grid's clients sign (aeg-sas-token).")
]
Certificate = Annotated[
    str,
    typer.Option(
        metavar="SUBJECT",
        help="No key: its holder shows the client certificate of this subject, such as 'CN=till 7,O=Shop'.",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Make it in this data directory itself: the first one, or with nothing running.")
]
Log = Annotated[str, typer.Option(help="Likewise in the log at kafka://…, as for `penstock run`.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `penstock keys list` names it; no secret.")]


@app.command()
def create(
    name: Name,
    allow: Allow,
    days: Days = None,
    rate: Rate = None,
    sas: Sas = False,
    certificate: Certificate = "",
    url: Url = URL,
    data: Data = None,
    log: Log = "",
    as_json: Json = False,
) -> None:
    """Make a key, and show it this once: what is kept does not tell it.

    The first one is made where the log is (--data or --log); with it others are made through the server at --url. A
    name has at most two keys that are live: the one in use, and the one that takes its place.
    """
    from .show import lines

    if sas and (data is not None or log):
        raise typer.BadParameter("keys that sign are made through the server, which has PENSTOCK_SAS_SECRET: --url")
    if data is not None or log:
        made = _in_the_log(name, allow, days, rate, certificate, data, log)
    else:
        from ..client.connection import connect

        with connect(url) as server:
            made = server.create_key(name, allow, days=days, sas=sas, rate=rate, certificate=certificate)
    if as_json:
        lines([made])
        return
    until = f", until {made['expires']}" if made["expires"] else ""
    if certificate:
        print(f"{made['id']} of {made['name']} may {made['allow']}{until}, by the certificate {certificate}")
        return
    print(f"key {made['id']} of {made['name']} may {made['allow']}{until}; it is shown this once:", file=sys.stderr)
    print(made["key"])
    if sas:
        print(f"and this is what signs, likewise:\n{made['sas_key']}")


@app.command()
def generate() -> None:
    """Print a key that opens nothing yet: the first one of a deployment, which its gateways are told as
    PENSTOCK_ADMIN_KEY and then let in."""
    from ..access.keys import make

    print(make())


@app.command("list")
def list_keys(url: Url = URL, as_json: Json = False) -> None:
    """Every key that was made: its id, whose it is, what it may do, and whether it is live, expired or revoked."""
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        found = server.keys()
    shown = ["id", "name", "state", "allow", "certificate", "created", "by", "expires", "revoked"]
    rows("keys", shown, found, as_json=as_json)


@app.command()
def revoke(id: Id, url: Url = URL) -> None:
    """End a key: within a second it opens nothing any more, on no host, and never again."""
    from ..client.connection import connect

    with connect(url) as server:
        gone = server.revoke_key(id)
    print(f"key {gone['id']} of {gone['name']} is revoked")


def _in_the_log(
    name: str, allow: str, days: float | None, rate: float | None, certificate: str, data: Path | None, log: str
) -> dict[str, Any]:
    from datetime import UTC, datetime

    from ..access.issuing import issue
    from ..run.keys import opened
    from .options import DATA

    with opened(data or DATA, log) as keeper:
        given: dict[str, Any] = {"days": days, "rate": rate, "certificate": certificate, "by": "who holds the log"}
        issued = issue(keeper.log, keeper.view, keeper.clock, name, allow, **given)
    made = issued.made
    expires = None if made.expires is None else datetime.fromtimestamp(made.expires / 1e6, UTC).isoformat()
    allowed = ",".join(made.rights)
    secret = {"key": issued.key} if issued.key else {}
    return {"id": made.id, "name": made.name, "allow": allowed, "expires": expires} | secret
