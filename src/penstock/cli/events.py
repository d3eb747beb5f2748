"""`publish`, `tail` and `groups`: the log from outside, through a running server."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import URL, Json, Url

if TYPE_CHECKING:
    from ..client.bodies import Rows
    from ..client.connection import Client
    from ..client.published import Published

BOM = b"\xef\xbb\xbf"  # UTF-8's byte-order mark, which some programs write before text
LINES = 5_000  # of NDJSON, in one request

File = Annotated[
    str, typer.Argument(help="A .json, .ndjson, .csv, .parquet or .arrow file, or - for NDJSON from stdin.")
]
TopicName = Annotated[
    str, typer.Argument(metavar="TOPIC", help="The topic: orders, of a domain tx/acme, all of it tx/*.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as events come.")]
From = Annotated[int | None, typer.Option("--from", help="The first offset wanted; without it and -f: 0.", min=0)]
Separator = Annotated[str, typer.Option(help="What separates the fields of a .csv file, such as ';' or tab.")]
DateFormat = Annotated[
    str, typer.Option(help="How a .csv file writes dates and times, such as %d.%m.%Y; without it ISO 8601.")
]
Last = Annotated[int | None, typer.Option("-n", "--last", help="Begin with the last so many.", min=0, max=1_000_000)]
Limit = Annotated[int | None, typer.Option(help="Events at most.", min=1)]


def publish(
    file: File,
    topic: TopicName,
    url: Url = URL,
    separator: Separator = ",",
    date_format: DateFormat = "",
    as_json: Json = False,
) -> None:
    """Append a file's events to a topic; when it ends, they are on disk.

    The columns of a .csv file are read as the topic's type says; those that the topic lacks are left out, and told.
    """
    from ..client.connection import connect

    with connect(url) as server:
        if file == "-":
            parts: Iterator[Rows] | list[Rows] = _from_stdin()
        elif Path(file).suffix.lower() == ".csv":
            parts = [_csv(server, Path(file), topic, separator, date_format)]
        else:
            parts = [_read(file)]
        _say_published(_publish(server, topic, parts), topic, as_json)


def tail(
    topic: TopicName,
    url: Url = URL,
    follow: Follow = False,
    start: From = None,
    last: Last = None,
    limit: Limit = None,
) -> None:
    """Print a topic's events, one JSON object a line."""
    from itertools import chain, islice

    from ..client.connection import connect
    from .show import lines

    if last is not None and start is not None:
        raise typer.BadParameter("-n counts from the end and --from from the beginning: give one of them")
    first = 0 if start is None and not follow else start
    with connect(url) as server:
        if last is None:
            lines(islice(server.tail(topic, follow=follow, start=first), limit))
            return
        end = server.end(topic)
        before = server.last(topic, last, end)
        lines(islice(chain(before, server.tail(topic, start=end) if follow else ()), limit))


def groups(url: Url = URL, as_json: Json = False) -> None:
    """How far each consumer group is: position, owner and lag of every partition."""
    from ..client.connection import connect
    from .show import rows

    columns = ["group", "topic", "partition", "through", "lag_events", "lag_seconds", "owner"]
    with connect(url) as server:
        rows("groups", columns, server.groups(), as_json=as_json)


# -- publishing ---------------------------------------------------------------


def _publish(server: Client, topic: str, parts: Iterator[Rows] | list[Rows]) -> Iterator[Published]:
    from .show import progress

    for part in parts:
        with progress(f"publishing to {topic}", _height(part) if sys.stderr.isatty() else None) as step:
            yield server.publish(topic, part, progress=step)


def _height(part: Rows) -> int | None:
    """How many rows, where that is known beforehand."""
    return len(part) if isinstance(part, Sized) else None


def _from_stdin() -> Iterator[Rows]:
    """Piece by piece: what is piped in may never end."""
    import msgspec

    held: list[Any] = []
    for line in sys.stdin.buffer:
        if line.strip():
            held.append(msgspec.Raw(line.strip()))
        if len(held) == LINES:
            yield held
            held = []
    if held:
        yield held


def _csv(server: Client, path: Path, topic: str, separator: str, date_format: str) -> Rows:
    from ..errors import PenstockError
    from .csv_file import Form, read_csv

    form = Form("\t" if separator in ("\\t", "tab") else separator, date_format)
    try:
        return read_csv(path, topic, server.schema(topic), form, lambda told: print(told, file=sys.stderr))
    except OSError as error:
        raise PenstockError(f"{path} cannot be read: {error.strerror or error}") from None


def _read(name: str) -> Rows:
    """Raises ``PenstockError`` for a file that is not what its name says."""
    import polars as pl

    from ..errors import PenstockError

    path, kind = Path(name), Path(name).suffix.lower()
    try:
        match kind:
            case ".json":
                return _json(path.read_bytes())
            case ".ndjson" | ".jsonl":
                return _ndjson(path.read_bytes())
            case ".parquet":
                return pl.read_parquet(path)
            case ".arrow" | ".feather" | ".ipc":
                return _arrow(path)
    except OSError as error:
        raise PenstockError(f"{name} cannot be read: {error.strerror or error}") from None
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise PenstockError(f"{name} is not a {kind} file: {str(error).splitlines()[0]}") from None
    raise PenstockError(f"{name}: what kind of file is it? There are .json, .ndjson, .csv, .parquet and .arrow")


def _json(text: bytes) -> Rows:
    """One event or an array of them, each on a line of its own."""
    import msgspec

    compact = msgspec.json.format(text.removeprefix(BOM), indent=-1)
    return msgspec.json.decode(compact if compact[:1] == b"[" else b"[" + compact + b"]", type=list[msgspec.Raw])


def _ndjson(text: bytes) -> Rows:
    import msgspec

    return [msgspec.Raw(line) for line in text.removeprefix(BOM).splitlines() if line.strip()]


def _arrow(path: Path) -> Rows:
    import polars as pl
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        try:
            return pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            return pa.ipc.open_stream(file).read_all()
        except pa.ArrowNotImplementedError:  # integers of 128 bits, as polars alone writes them
            return pl.read_ipc(path)


def _say_published(parts: Iterable[Published], topic: str, as_json: bool) -> None:
    from ..client.published import Published
    from .show import lines

    whole = Published()
    count = 0
    for part in parts:
        count += sum(span.count for span in part)
        whole.ignore(part.ignored)
    if as_json:
        lines([{"topic": topic, "count": count} | ({"ignored": whole.ignored} if whole.ignored else {})])
        return
    print(f"{count:,} events published to {topic}")
    for each in whole.ignored:
        field = "" if each["field"] is None else f"field {each['field']!r} "
        print(f"{field}left out, {each['count']:,} times: {each['reason']}", file=sys.stderr)
