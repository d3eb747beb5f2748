"""How topics are read over HTTP: a page a request, each from where the answer before it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa

from .bodies import ARROW, NDJSON
from .sending import Sender, door, events_door

PAGE_ROWS = 5_000  # rows of one reading request
NEXT, END = "penstock-next", "penstock-end"


class TopicPages:
    """The reading methods of ``Client``, whose docstrings say what they give and raise."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def table(self, topic: str, limit: int | None, start: int) -> pl.DataFrame:
        tables: list[pa.Table] = []
        at, left = str(start), limit
        while left is None or left > 0:
            params = {"offset": at, "limit": str(PAGE_ROWS if left is None else min(PAGE_ROWS, left))}
            answer = self._sender.send("GET", events_door(topic), headers={"accept": ARROW}, params=params)
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

    def last(self, topic: str, count: int, end: str | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        ends = dict(part.split(":") for part in (end or self.end(topic)).split(","))
        for state in self._states(topic):
            found += self._before(topic, state, int(ends.get(str(state["partition"]), state["end"])), count)
        found.sort(key=lambda event: event["time"])  # stable: a partition's order stays where times are equal
        return found[-count:] if count else []

    def _before(self, topic: str, state: Mapping[str, int], end: int, count: int) -> list[dict[str, Any]]:
        """A partition's last events. Positions have gaps, so it looks ever further back until it has enough."""
        reach = count
        while True:
            first = max(end - reach, state["earliest"])
            found = [e for e in self._between(topic, state["partition"], first) if e["offset"] < end]
            if len(found) >= count or first <= state["earliest"]:
                return found[-count:] if count else []
            reach *= 8

    def _between(self, topic: str, partition: int, first: int) -> Iterator[dict[str, Any]]:
        at = str(first)
        while True:
            params = {"partition": str(partition), "offset": at, "limit": str(PAGE_ROWS)}
            answer = self._sender.send("GET", events_door(topic), headers={"accept": NDJSON}, params=params)
            before, at = at, answer.headers[NEXT]
            yield from map(msgspec.json.decode, answer.content.splitlines())
            if at == before:
                return

    def tail(self, topic: str, follow: bool, start: int | str | None) -> Iterator[dict[str, Any]]:
        at = self.end(topic) if start is None else str(start)
        while True:
            params = {"offset": at, "limit": str(PAGE_ROWS), "wait": "10s" if follow else "0"}
            answer = self._sender.send("GET", events_door(topic), headers={"accept": NDJSON}, params=params)
            before, at = at, answer.headers[NEXT]
            lines = answer.content.splitlines()
            yield from map(msgspec.json.decode, lines)
            if not lines and at == before and not follow:
                return

    def schema(self, topic: str) -> pa.Schema:
        params = {"limit": "0"}
        answer = self._sender.send("GET", events_door(topic), headers={"accept": ARROW}, params=params)
        return pa.ipc.open_stream(answer.content).schema

    def end(self, topic: str) -> str:
        return ",".join(f"{state['partition']}:{state['end']}" for state in self._states(topic))

    def _states(self, topic: str) -> list[dict[str, int]]:
        """Of each partition where it begins, as far as that is known, and where it ends."""
        if "/" not in topic:
            return list(self._sender.get(door("topics", topic))["partitions"])
        answer = self._sender.send("GET", events_door(topic), params={"limit": "0"})
        ends = (part.split(":") for part in answer.headers[END].split(","))
        return [{"partition": int(partition), "earliest": 0, "end": int(end)} for partition, end in ends]
