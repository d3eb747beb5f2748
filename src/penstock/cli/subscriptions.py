"""`subscriptions`: who is delivered to, how that goes, and what waits; putting one, deleting it, pausing it, and
letting it go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import URL, Json, Target, Url

if TYPE_CHECKING:
    from ..destinations.interface import Answer

app = typer.Typer(help="Subscriptions: list, show, put, delete, pause, resume, test.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The subscription's name; `list` has them all.")]


@app.command("list")
def list_subscriptions(url: Url = URL, as_json: Json = False) -> None:
    """Where each goes, its state, what waits for it, and how its endpoint answers.

    The state is live; behind: it is served from a place of its own, so that others need not wait for it; paused;
    disabled: its endpoint wants nothing any more; asking, awaiting or failed: its endpoint is asked in a handshake
    whether it wants events, somebody may say so by hand, or it has not.

    The backlog counts events of the topic, whether or not the subscription wants them, and seconds are the age of the
    oldest. blocked: of one that is ordered, lanes that wait with a request which has failed; `show` says by what.
    """
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        found = server.subscriptions()
    columns = ["name", "origin", "source", "target", "state", "backlog", "seconds", "last_answer", "success", "blocked"]
    rows("subscriptions", columns, found if as_json else map(_row, found), as_json=as_json)


@app.command()
def show(name: Name, url: Url = URL, as_json: Json = False) -> None:
    """All that is known of one: its condition, state, backlog, and what its endpoint said last."""
    from ..client.connection import connect

    with connect(url) as server:
        found = server.subscription(name)
    _print(found, as_json)


@app.command()
def put(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called; one that was put so is replaced.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A topic, or a type of system event.")],
    to: Annotated[str, typer.Argument(metavar="URL", help="Where to, https://…; - reads it from the standard input.")],
    where: Annotated[str | None, typer.Option(help="A condition, as SQL: docs/where.md.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="A file with the secret that signs, whsec_…, or two, a line each.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="cloudevents when absent, eventgrid …")] = None,
    start: Annotated[str | None, typer.Option(help="latest (when absent) or earliest.")] = None,
    rate: Annotated[str | None, typer.Option(help="Of requests, such as 100/s.")] = None,
    handshake: Annotated[str | None, typer.Option(help="cloudevents or eventgrid.")] = None,
    ordered: Annotated[bool, typer.Option("--ordered", help="Events of a key each after the one before.")] = False,
    url: Url = URL,
    as_json: Json = False,
) -> None:
    """Have events delivered to a webhook from now on, while the app runs. Its secret is never shown again."""
    import sys

    from ..client.connection import connect

    given = {"where": where, "format": format, "start": start, "rate": rate, "handshake": handshake}
    options: dict[str, Any] = {option: value for option, value in given.items() if value is not None}
    if ordered:
        options["ordered"] = True
    if secret_file is not None:
        options["secret"] = secret_file.read_text().split()
    with connect(url) as server:
        found = server.put_subscription(name, source, sys.stdin.readline().strip() if to == "-" else to, **options)
    _print(found, as_json)


@app.command()
def delete(name: Name, url: Url = URL) -> None:
    """End one that was put while the app ran: nothing more is sent, and what waits becomes dead letters."""
    from ..client.connection import connect

    with connect(url) as server:
        server.delete_subscription(name)
    print(f"subscription {name} is deleted")


@app.command()
def pause(name: Name, url: Url = URL, as_json: Json = False) -> None:
    """Deliver nothing to it for now. What is under way may still arrive.

    Its events wait in the topic, for as long as that keeps them, and those that have failed before go on waiting for
    their next attempt; the time until an event is given up (retry=ps.Retry(ttl=…)) runs on.
    """
    from ..client.connection import connect

    with connect(url) as server:
        found = server.pause_subscription(name)
    _print(found, as_json)


@app.command()
def resume(name: Name, url: Url = URL, as_json: Json = False) -> None:
    """Deliver again, from where it was: one that was paused, or that is disabled.

    One whose handshake has failed, or waits for somebody, has its endpoint asked again.
    """
    from ..client.connection import connect

    with connect(url) as server:
        found = server.resume_subscription(name)
    _print(found, as_json)


@app.command()
def test(target: Target, name: Name, as_json: Json = False) -> None:
    """Send one made-up event straight to its endpoint, from here, and show the request and the answer without secrets.

    The app's file is imported and the environment looked up here, as `penstock check` does; nothing has to run, and
    neither the subscription's condition nor its state is looked at. The ids begin with "test-". Exit code 1 when the
    endpoint does not take it.
    """
    import os
    from dataclasses import asdict

    from ..clock import SystemClock
    from ..errors import DeclarationError
    from ..run.check import check
    from ..run.trial_delivery import deliver_trial
    from ..settings import Settings
    from .show import lines

    resolved = check(target, os.environ).resolved
    if wrong := [str(finding) for finding in resolved.findings if finding.severity == "error"]:
        raise DeclarationError("; ".join(wrong))
    found = deliver_trial(resolved.plan, name, os.environ, SystemClock(), Settings.from_env())
    if as_json:
        lines([asdict(found)])
    else:
        print(f"{found.verb} {found.endpoint}")
        for header, value in found.headers:
            print(f"{header}: {value}")
        print(f"\n{found.body}\n")
        print(f"{_taken(found.answer)}, after {found.seconds:.3f} s")
    if not found.answer.ok:
        raise typer.Exit(1)


def _taken(answer: Answer) -> str:
    reason = f": {answer.reason}" if answer.reason else ""
    return f"{answer.outcome} {answer.status or ''}".rstrip() + reason


def _row(found: dict[str, Any]) -> dict[str, Any]:
    backlog, endpoint, lanes = found["backlog"] or {}, found["endpoint"] or {}, found["lanes"] or {}
    rate, last = endpoint.get("success_rate"), endpoint.get("last")
    return found | {
        "backlog": backlog.get("events"),
        "seconds": backlog.get("seconds"),
        "blocked": lanes.get("blocked"),
        "last_answer": "unknown" if "unknown" in endpoint else last and _answer(last),
        "success": None if rate is None else f"{rate:.1%}",
    }


def _answer(last: dict[str, Any]) -> str:
    return f"{last['outcome']} {last['status'] or ''}".rstrip()


def _print(found: dict[str, Any], as_json: bool) -> None:
    from .show import lines

    if as_json:
        lines([found])
        return
    sent = f" as {found['format']}" if found["format"] else ""
    print(f"{found['name']}: {found['source']} to {found['target']}{sent}, {found['condition']}")
    since = f" since {found['since']}: {found['reason']}" if found["since"] else ""
    print(f"{found['state']}{since}")
    for line in _handshake(found["handshake"]):
        print(line)
    if found["failing_since"]:
        print(f"no attempt has succeeded since {found['failing_since']}")
    if (backlog := found["backlog"]) is None:
        print("nobody has read the topic for it yet")
    else:
        age = "" if backlog["seconds"] is None else f", the oldest {backlog['seconds']:,.1f} s old"
        print(f"{backlog['events']:,} events of the topic wait{age}")
    for line in _lanes(found["lanes"]):
        print(line)
    for line in _endpoint(found["endpoint"]):
        print(line)


def _handshake(handshake: dict[str, Any] | None) -> list[str]:
    if handshake is None:
        return []
    until = f", by hand until {handshake['until']}" if handshake["until"] else ""
    rate = f", {handshake['per_minute']:,} requests a minute" if handshake["per_minute"] else ""
    return [f"handshake ({handshake['kind']}): {handshake['step']}{until}{rate}"]


def _lanes(lanes: dict[str, Any] | None) -> list[str]:
    if lanes is None:
        return []
    said = [f"ordered: {lanes['blocked']:,} of {lanes['count']:,} lanes blocked"]
    for lane in lanes["shown"]:
        rest = f" and {lane['events'] - 1:,} more" if lane["events"] > 1 else ""
        reason = f": {lane['reason']}" if lane["reason"] else ""
        due = f", again at {lane['due']}" if lane["due"] else ""
        said.append(
            f"  lane {lane['lane']} by {lane['first']}{rest}, attempts {lane['attempts']:,}, "
            f"{lane['outcome']}{reason}{due}"
        )
    if (hidden := lanes["blocked"] - len(lanes["shown"])) > 0:
        said.append(f"  and {hidden:,} more")
    return said


def _endpoint(endpoint: dict[str, Any] | None) -> list[str]:
    if endpoint is None:
        return []
    if "unknown" in endpoint:
        return [f"endpoint: {endpoint['unknown']}"]
    if endpoint["success_rate"] is None:
        said = ["endpoint: not asked since the courier began"]
    else:
        delivered, failed, rate = endpoint["delivered"], endpoint["failed"], endpoint["success_rate"]
        said = [f"endpoint: {delivered:,} requests delivered, {failed:,} failed since the courier began ({rate:.1%})"]
    if endpoint["why"]:
        until = f", until {endpoint['closed_until']}" if endpoint["closed_until"] else ""
        said.append(f"it takes nothing: {endpoint['why']}{until}")
    if (last := endpoint["last"]) is not None:
        reason = f": {last['reason']}" if last["reason"] else ""
        said.append(f"last answer at {last['at']}: {_answer(last)}{reason}")
    return said
