"""`topics`: what there are, and what cannot be undone: emptying one, deleting it, giving it more partitions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DATA, URL, Data, Json, Url

if TYPE_CHECKING:
    from ..run.topics import Affected

app = typer.Typer(help="Topics: what there are; reset, delete, grow.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.")]
Log = Annotated[str, typer.Option(help="kafka://… as for `penstock run`; without it the log is in --data.")]
Yes = Annotated[str | None, typer.Option("--yes", help="The topic's name once more, instead of being asked for it.")]
Partitions = Annotated[int, typer.Argument(help="How many it is to have.", min=2)]


@app.callback(invoke_without_command=True)
def topics(context: typer.Context, url: Url = URL, as_json: Json = False) -> None:
    """What topics there are; and with nothing running on the log: reset, delete, grow."""
    if context.invoked_subcommand is not None:
        return
    from ..client.connection import connect
    from .show import rows

    with connect(url) as server:
        rows("topics", ["name", "partitions", "key", "events", "bytes"], server.topics(), as_json=as_json)


@app.command()
def reset(topic: Name, data: Data = DATA, log: Log = "", yes: Yes = None) -> None:
    """Remove all events of a topic; stages go on with what comes. Its type may then be another."""
    from ..run import topics as changes

    with changes.opened(data, log) as events:
        about = changes.affected(events, topic)
        _ask(about, f"removes its {about.events:,} events for good; {_groups(about)}", yes)
        changes.reset(events, about)
    print(f"topic '{topic}' is empty; the next start may give it another type")


@app.command()
def delete(topic: Name, data: Data = DATA, log: Log = "", yes: Yes = None) -> None:
    """Remove a topic with its events. An app that still declares it makes it anew, empty."""
    from ..run import topics as changes

    with changes.opened(data, log) as events:
        about = changes.affected(events, topic)
        said = f"removes it with its {about.events:,} events for good, and the positions of {_named(about)} in it"
        _ask(about, said, yes)
        changes.delete(events, about)
    print(f"topic '{topic}' is deleted")


@app.command()
def grow(topic: Name, partitions: Partitions, data: Data = DATA, log: Log = "", yes: Yes = None) -> None:
    """Give a topic more partitions, for more workers. Write the same number into the app's file before it starts."""
    from ..run import topics as changes

    with changes.opened(data, log) as events:
        about = changes.affected(events, topic)
        has = about.topic.partitions
        keyed = "keys move to other partitions, so an event may be dealt with before an older one of its key that waits"
        _ask(about, f"takes it from {has} to {partitions} partitions, and it never shrinks; {keyed}", yes)
        changes.grow(events, about, partitions)
    print(f"topic '{topic}' has {partitions} partitions: write partitions={partitions} into the app's file")


def _ask(about: Affected, what: str, yes: str | None) -> None:
    """By its name, so that nobody does it to another one by habit."""
    name = about.topic.name
    print(f"this {what}", file=sys.stderr)
    if yes is None:
        if not sys.stdin.isatty():
            raise typer.BadParameter(f"say --yes {name}, or answer at a terminal")
        yes = typer.prompt(f"type the topic's name, {name}, to go on", err=True)
    if yes != name:
        raise typer.BadParameter(f"{yes!r} is not {name!r}: nothing was changed")


def _groups(about: Affected) -> str:
    return f"{_named(about)} go on with what comes" if about.groups else "no stage has read it yet"


def _named(about: Affected) -> str:
    return ", ".join(about.groups) or "no group"
