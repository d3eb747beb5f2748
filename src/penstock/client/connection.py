"""The Python client: publish frames, read topics, score rows, and look after models, over HTTP.

with penstock.connect("http://127.0.0.1:8000") as server:
    server.publish("departures", frame)
    delays = server.read("delays")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import polars as pl
import pyarrow as pa

from .. import tokens
from ..batch import Span
from ..errors import InvalidEvent
from .bodies import ARROW, NDJSON, Rows, bodies, column, tensor
from .sending import Sender

PAGE = 5_000  # rows of one reading request
NEXT = "penstock-next"


def connect(url: str, *, timeout: float = 60.0, patience: float = 60.0, data: Path | str | None = None) -> Client:
    """A client of the server at ``url``; nothing is sent yet.

    ``timeout``: seconds for one request. ``patience``: seconds for which a request that the server was too busy for is
    sent again, before ``Busy`` is raised. ``data``: the server's data directory, where a client on the same machine
    does not find the secret for ``register_model(trust=)`` by the address, as with a server in a container.
    """
    return Client(url, timeout=timeout, patience=patience, data=data)


class Client:
    """One server. Used by one thread at a time; close it, or use it in a ``with`` block.

    Every method raises ``Unreachable`` (nothing was sent), ``Uncertain`` (sent, and the connection broke before the
    answer) and what the server refused with, as the error of ``penstock.errors`` that it named.
    """

    def __init__(self, url: str, *, timeout: float, patience: float, data: Path | str | None = None) -> None:
        self._sender = Sender(url, timeout=timeout, patience=patience)
        self._data = None if data is None else Path(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self._sender.url

    def close(self) -> None:
        self._sender.close()

    # -- events ---------------------------------------------------------------

    def publish(self, topic: str, rows: Rows, *, progress: Callable[[int], None] | None = None) -> list[Span]:
        """Append events; on return they are durable. Returns where they are, a span for each request and partition.

        Frames go as Arrow, lists as JSON, in requests of at most 10,000 rows: each is stored whole or not at all, and
        what was stored before one that is refused stays. ``progress`` is told of each one's rows.

        Raises ``InvalidEvent`` with the row's place in ``rows``. After ``Uncertain`` the last request may have been
        stored: sending it again may double it, unless the topic drops repeats (``dedupe``) and its events have ids.
        """
        spans: list[Span] = []
        done = 0
        for kind, body, count in bodies(rows):
            try:
                answer = self._sender.send("POST", f"/topics/{topic}/events", body, {"content-type": kind}).json()
            except InvalidEvent as error:
                row = None if error.row is None else error.row + done
                raise InvalidEvent(error.reason, row=row, field=error.field) from None
            spans += [Span(topic, p["partition"], p["offset"], p["last"], p["count"]) for p in answer["positions"]]
            done += count
            if progress is not None:
                progress(count)
        return spans

    def read(self, topic: str, *, limit: int | None = None, start: int = 0) -> pl.DataFrame:
        """The topic's events up to now: its columns, and the envelope's with their underscores.

        ``start``: the first offset wanted, in each partition. Rows are in order within a partition.
        """
        tables: list[pa.Table] = []
        at, left = str(start), limit
        while left is None or left > 0:
            params = {"offset": at, "limit": str(PAGE if left is None else min(PAGE, left))}
            answer = self._sender.send("GET", f"/topics/{topic}/events", headers={"accept": ARROW}, params=params)
            table = pa.ipc.open_stream(answer.content).read_all()
            before, at = at, answer.headers[NEXT]
            if table.num_rows or not tables:
                tables.append(table)
            if not table.num_rows and at == before:  # a page may be shorter than its limit, or hold nothing readable
                break
            left = None if left is None else left - table.num_rows
        if not tables:
            return pl.DataFrame()
        return pl.DataFrame(pl.from_arrow(pa.concat_tables(tables, promote_options="default")))

    def tail(self, topic: str, *, follow: bool = True, start: int | None = None) -> Iterator[dict[str, Any]]:
        """Events one by one, as the JSON door gives them: ``{"partition", "offset", "time", "data", …}``.

        ``start`` as for ``read``; None: what is published from now on. With ``follow`` it never ends by itself.
        """
        at = self.end(topic) if start is None else str(start)
        while True:
            params = {"offset": at, "limit": str(PAGE), "wait": "10s" if follow else "0"}
            answer = self._sender.send("GET", f"/topics/{topic}/events", headers={"accept": NDJSON}, params=params)
            before, at = at, answer.headers[NEXT]
            lines = answer.content.splitlines()
            yield from map(msgspec.json.decode, lines)
            if not lines and at == before and not follow:
                return

    def schema(self, topic: str) -> pa.Schema:
        """The topic's columns and their types, as the server checks events against them."""
        answer = self._sender.send("GET", f"/topics/{topic}/events", headers={"accept": ARROW}, params={"limit": "0"})
        return pa.ipc.open_stream(answer.content).schema

    def end(self, topic: str) -> str:
        """Where the topic ends now, as ``PARTITION:OFFSET,…``."""
        states = self._sender.get(f"/topics/{topic}")["partitions"]
        return ",".join(f"{state['partition']}:{state['end']}" for state in states)

    # -- models ---------------------------------------------------------------

    def infer(self, model: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Score rows with the version in service: the model's output columns, in the order of the rows.

        Raises ``InvalidEvent`` for a column that the model reads and the frame lacks, or of another type.
        """
        described = self._sender.get(f"/v2/models/{model}")
        missing = [field["name"] for field in described["inputs"] if field["name"] not in rows.columns]
        if missing:
            raise InvalidEvent("the model reads it, and the frame does not have it", field=missing[0])
        given = [tensor(field, rows[field["name"]]) for field in described["inputs"]]
        answer = self._sender.post(f"/v2/models/{model}/infer", {"inputs": given})
        return pl.DataFrame({o["name"]: column(o) for o in answer["outputs"]})

    def models(self) -> list[dict[str, Any]]:
        """Every model with its versions and aliases."""
        return self._sender.get_list("/models")

    def model(self, name: str) -> dict[str, Any]:
        """A model's versions, each with its digest, runtime, signature and metrics, and its aliases."""
        return self._sender.get(f"/models/{name}")

    def register_model(
        self,
        name: str,
        path: Path | str,
        *,
        trust: str | None = None,
        metrics: Mapping[str, float] | None = None,
        dataset_id: str | None = None,
        outputs: Sequence[str] = (),
        inputs: Sequence[str] = (),
    ) -> int:
        """Register the file as the model's next version, and return its number. The first one becomes the champion.

        ``trust``: ``sha256:HEX`` of a file that may execute code when it is loaded. ``outputs`` and ``inputs`` name
        columns for a model that the app does not declare. Raises ``ModelRefused``, and with ``trust`` ``Forbidden``
        where this client cannot read the server's secret.
        """
        given = {
            "trust": trust,
            "metrics": msgspec.json.encode(dict(metrics)).decode() if metrics else None,
            "dataset_id": dataset_id,
            "outputs": ",".join(outputs) or None,
            "inputs": ",".join(inputs) or None,
        }
        params = {key: value for key, value in given.items() if value is not None}
        headers = {"content-type": "application/octet-stream"}
        if trust is not None and (secret := tokens.find(self.url, self._data)):
            headers["authorization"] = f"Bearer {secret}"
        answer = self._sender.send("POST", f"/models/{name}/versions", Path(path).read_bytes(), headers, params)
        return int(answer.json()["version"])

    def set_alias(self, name: str, alias: str, version: int, *, expected: int | None = None) -> None:
        """Point an alias to a version; with ``expected`` only if it points there now (0: to none).

        Raises ``Conflict``, ``NotFound``.
        """
        asked = {"version": version} | ({} if expected is None else {"expected": expected})
        self._sender.post(f"/models/{name}/aliases/{alias}", asked)

    def promote(self, name: str, version: int) -> None:
        """Make a version the champion: scorers load it, and take it at the batch after. Raises ``NotFound``."""
        self._sender.post(f"/models/{name}/promote", {"version": version})

    # -- the server -----------------------------------------------------------

    def topics(self) -> list[dict[str, Any]]:
        return self._sender.get_list("/topics")

    def groups(self) -> list[dict[str, Any]]:
        """Position, owner and lag of every consumer group, a row for each partition."""
        return self._sender.get_list("/groups")

    def metrics(self) -> str:
        """In Prometheus' text format."""
        return self._sender.once("GET", "/metrics", b"", {}, {}).text

    def ready(self) -> Readiness:
        """Is everything at work, and if not, why? Raises ``Unreachable``."""
        answer = self._sender.once("GET", "/readyz", b"", {}, {}).json()
        return Readiness(answer["ready"], answer["reasons"])


@dataclass(frozen=True, slots=True)
class Readiness:
    """``reasons``: objects with ``reason``, and where it is known ``process`` and ``stage``."""

    ready: bool
    reasons: list[dict[str, str]]

    def __bool__(self) -> bool:
        return self.ready
