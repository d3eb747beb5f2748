"""`dead`: the events that no attempt could deal with, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import URL, Json, Url

app = typer.Typer(help="Dead letters: list, show.", no_args_is_help=True)

Topic = Annotated[str | None, typer.Option(help="Only of this topic.")]
Stage = Annotated[str | None, typer.Option(help="Only of this stage.")]
Limit = Annotated[int, typer.Option(help="The latest so many.", min=1)]
Place = Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As `penstock dead list` names it.")]


@app.command("list")
def list_dead(
    url: Url = URL, topic: Topic = None, stage: Stage = None, limit: Limit = 50, as_json: Json = False
) -> None:
    """The latest dead letters."""
    from .show import rows

    found = [d for d in _letters(url) if topic in (None, d["topic"]) and stage in (None, d["stage"])]
    found.sort(key=lambda letter: letter["time"])
    rows("dead letters", ["place", "stage", "time", "attempts", "error", "reason"], found[-limit:], as_json=as_json)


@app.command()
def show(place: Place, url: Url = URL, as_json: Json = False) -> None:
    """One event with its reason, traceback and data."""
    from ..errors import NotFound
    from .show import lines

    found = [letter for letter in _letters(url) if letter["place"] == place]
    if not found:
        raise NotFound(f"no dead letter for {place}; `penstock dead list` names what there is")
    if as_json:
        lines(found)
        return
    for letter in found:
        print(f"{letter['place']}  id {letter['id']}  key {letter['key']}  {letter['time']}")
        print(f"stage {letter['stage']}, after {letter['attempts']} attempts: {letter['error']}: {letter['reason']}")
        print(f"data {letter['data']}")
        print(letter["traceback"] or "(no traceback)")


def _letters(url: str) -> list[dict[str, Any]]:
    from ..batch import DEAD
    from ..client.connection import connect

    with connect(url) as server:
        found = [event["data"] for event in server.tail(DEAD, follow=False, start=0)]
    return [letter | {"place": f"{letter['topic']}/{letter['partition']}/{letter['offset']}"} for letter in found]
