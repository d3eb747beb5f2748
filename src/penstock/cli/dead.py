"""`dead`: the events that no attempt could deal with, and what is to become of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import URL, Json, Url

if TYPE_CHECKING:
    from ..client.connection import Client

app = typer.Typer(help="Dead letters: list, show, redrive, drop.", no_args_is_help=True)

AT_ONCE = 1_000  # letters of one request
LOOK_S = 0.5  # seconds between two looks at what became of events put back

Topic = Annotated[str | None, typer.Option(help="Only of this topic.")]
Stage = Annotated[str | None, typer.Option(help="Only of this stage.")]
Error = Annotated[str | None, typer.Option(help="Only with this error, such as ValueError.")]
Reason = Annotated[str | None, typer.Option(help="Only whose reason has this in it.")]
Since = Annotated[str | None, typer.Option(help="Only that died since: 2h (ago), or 2026-01-31T12:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="Only that died before.")]
State = Annotated[str, typer.Option(help="dead, redriven, done, dropped, open (the first two) or all.")]
Latest = Annotated[int, typer.Option("--limit", "-n", help="The latest so many.", min=1, max=10_000)]
Rounds = Annotated[int, typer.Option("--limit", help="Leave events that were put back so often already.", min=1)]
Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until their stages have dealt with them, or failed again.")]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="eventgrid|cloudevents",
        help="As Event Grid's dead-letter store has it: the event, and why it is there.",
    ),
]
Place = Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As `penstock dead list` names it.")]
Places = Annotated[
    list[str] | None, typer.Argument(metavar="[TOPIC/PARTITION/OFFSET]…", help="These alone; else all that fit.")
]


@app.command("list")
def list_dead(
    url: Url = URL,
    topic: Topic = None,
    stage: Stage = None,
    error: Error = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    state: State = "open",
    limit: Latest = 50,
    as_json: Json = False,
) -> None:
    """The latest dead letters, and what became of each."""
    from ..client.connection import connect
    from .show import rows

    which = _which(topic, stage, error, reason, since, until)
    with connect(url) as server:
        found = server.dead(state=state, limit=limit, **which)
    columns = ["place", "stage", "state", "round", "died", "attempts", "error", "reason"]
    rows("dead letters", columns, found, as_json=as_json)


@app.command()
def show(place: Place, url: Url = URL, format: Format = None, as_json: Json = False) -> None:
    """One event with its reason, traceback and data, as each stage that failed said it.

    With --format a line for each subscription whose endpoint did not take it.
    """
    from ..client.connection import connect
    from .show import lines

    _check(place)
    with connect(url) as server:
        found = server.dead_letter(place, format=format)
    if as_json or format is not None:
        lines(found)
        return
    for letter in found:
        print(f"{letter['place']}  id {letter['id']}  key {letter['key']}  {letter['time']}")
        attributes = [f"{name} {letter[name]}" for name in ("source", "type", "subject", "extensions") if letter[name]]
        if attributes:
            print("  ".join(attributes))
        print(f"stage {letter['stage']}, after {letter['attempts']} attempts: {letter['error']}: {letter['reason']}")
        print(f"{_state(letter)}, {letter['since']}")
        print(f"data {letter['data']}")
        print(letter["traceback"] or "(no traceback)")


@app.command()
def redrive(
    places: Places = None,
    url: Url = URL,
    topic: Topic = None,
    stage: Stage = None,
    error: Error = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Rounds = 3,
    dry_run: Dry = False,
    yes: Yes = False,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Put events back to the stage that failed, and to no other.

    Says first how many there are, and asks. Stopped half-way and started again it goes on: no event is put back twice.
    An event that fails again is a dead letter of the next round; after --limit rounds it stays. What came behind it has
    gone on meanwhile, so it comes out of its order, also to a subscription that is ordered.
    """
    from ..client.connection import connect

    which = _selection(places, topic, stage, error, reason, since, until)
    with connect(url) as server:
        first = server.redrive(dry=True, limit=limit, **which)
        which.setdefault("until", first["at"])  # what fails again meanwhile is for another time
        _say_what_stays(first, as_json)
        if first["left"]:
            _say_what_is_ordered(server, stage)
        if dry_run or not first["left"]:
            _say(first, f"{first['left']:,} events would be put back", as_json)
            return
        _confirm(f"{first['left']:,} events go back to {stage or 'the stages that failed'}", yes)

        def step() -> dict[str, Any]:
            return server.redrive(most=AT_ONCE, limit=limit, **which)

        done = _repeat("putting back", "redriven", first["left"], step)
        _say({"redriven": done}, f"{done:,} events put back", as_json)
        for held in first["waiting"]:
            print(f"stage {held['stage']} is held, its events wait: {held['reason']}", file=sys.stderr)
        if wait:
            _wait(server, which, done, as_json)


@app.command()
def drop(
    places: Places = None,
    url: Url = URL,
    topic: Topic = None,
    stage: Stage = None,
    error: Error = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    dry_run: Dry = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Say of letters that nothing is to be done about them: they are listed no more, and can be read still."""
    from ..client.connection import connect

    which = _selection(places, topic, stage, error, reason, since, until)
    with connect(url) as server:
        left = server.drop(dry=True, **which)["left"]
        if dry_run or not left:
            _say({"dropped": 0, "left": left}, f"{left:,} letters would be dropped", as_json)
            return
        _confirm(f"{left:,} letters are dropped for good", yes)
        done = _repeat("dropping", "dropped", left, lambda: server.drop(most=AT_ONCE, **which))
    _say({"dropped": done}, f"{done:,} letters dropped", as_json)


# -- which ----------------------------------------------------------------------


def _which(
    topic: str | None, stage: str | None, error: str | None, reason: str | None, since: str | None, until: str | None
) -> dict[str, Any]:
    given = {"topic": topic, "stage": stage, "error": error, "reason": reason, "since": since, "until": until}
    return {name: value for name, value in given.items() if value is not None}


def _selection(places: list[str] | None, *filters: str | None) -> dict[str, Any]:
    which = _which(*filters)
    for place in places or []:
        _check(place)
    return which | ({"places": places} if places else {})


def _check(place: str) -> None:
    if place.count("/") != 2:
        raise typer.BadParameter(f"{place!r} is no place: write TOPIC/PARTITION/OFFSET, as `penstock dead list` does")


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{what}: say --yes, or --dry-run to see what would be done")
    typer.confirm(f"{what}. Go on?", abort=True, err=True)


# -- doing it -------------------------------------------------------------------


def _repeat(title: str, name: str, total: int, step: Callable[[], dict[str, Any]]) -> int:
    """Until nothing is left. Stopped in between, what is done is done."""
    from .show import progress

    done = 0
    with progress(title, total if sys.stderr.isatty() else None) as moved:
        while True:
            answer = step()
            count = int(answer[name])
            done += count
            moved(count)
            if not answer["left"] or not count:
                return done


def _wait(server: Client, which: dict[str, Any], total: int, as_json: bool) -> None:
    """Exit code 1 when some failed again."""
    from .show import progress

    query = {name: value for name, value in which.items() if name not in ("places", "until")}
    left = total
    with progress("dealt with", total if sys.stderr.isatty() else None) as moved:
        while left:
            under_way = [d for d in server.dead(state="redriven", limit=10_000, **query) if _is_wanted(d, which)]
            moved(left - min(len(under_way), left))
            left = min(len(under_way), left)
            if left:
                time.sleep(LOOK_S)
    again = [d for d in server.dead(state="dead", limit=10_000, **query) if d["round"] and _is_wanted(d, which)]
    again = [d for d in again if d["died"] >= which["until"]]
    _say({"failed_again": len(again)}, f"{len(again):,} of them failed again", as_json)
    if again:
        raise typer.Exit(1)


def _is_wanted(letter: dict[str, Any], which: dict[str, Any]) -> bool:
    return "places" not in which or letter["place"] in which["places"]


def _say_what_is_ordered(server: Client, stage: str | None) -> None:
    """What is put back to a subscription that is ordered is not."""
    shown = [each for each in server.subscriptions() if stage in (None, each["name"])]
    for name in [each["name"] for each in shown if each["options"].get("ordered")]:
        print(f"subscription '{name}' is ordered, and what is put back to it comes out of its order", file=sys.stderr)


def _say_what_stays(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return
    for each in answer["reasons"]:
        print(f"{each['count']:,} stay: {each['reason']}", file=sys.stderr)


def _state(letter: dict[str, Any]) -> str:
    state = {"redriven": "put back", "done": "put back and dealt with"}.get(letter["state"], letter["state"])
    return f"{state}, round {letter['round']}" if letter["round"] else str(state)


def _say(data: dict[str, Any], text: str, as_json: bool) -> None:
    from .show import lines

    if as_json:
        lines([data])
    else:
        print(text)
