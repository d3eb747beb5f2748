"""Rows as the objects that a function takes: events, events with their envelope, Penstock's own events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import msgspec
import pyarrow as pa

from ...batch import column, data_columns
from ...declare.events import Event, SystemEvent
from ...schema.encode import keys, sources
from ...schema.objects import to_objects
from .bound_function import Callee


def objects_of(callee: Callee, rows: pa.RecordBatch) -> Sequence[Any]:
    """One object a row, in order."""
    events = _events(callee.event, rows)
    return _enveloped(callee, rows, events) if callee.spec.takes == "envelope" else events


def ids_of(callee: Callee, rows: pa.RecordBatch) -> Callable[[int], str]:
    """Tells the id of the event in a row, or where it is, ``TOPIC/PARTITION/OFFSET``; empty where neither is known."""
    names = rows.schema.names

    def id_of(row: int) -> str:
        if "_id" in names and (given := rows.column("_id")[row].as_py()):
            return str(given)
        if "_partition" not in names or "_offset" not in names:
            return ""
        return f"{callee.spec.source}/{rows.column('_partition')[row]}/{rows.column('_offset')[row]}"

    return id_of


def _events(kind: Any, rows: pa.RecordBatch) -> Sequence[Any]:
    if isinstance(kind, type) and issubclass(kind, SystemEvent):
        return [kind.read(msgspec.json.decode(text)) for text in rows.column("json").to_pylist()]
    return to_objects(data_columns(rows), kind)


def _enveloped(callee: Callee, rows: pa.RecordBatch, events: Sequence[Any]) -> Sequence[Any]:
    topic = callee.spec.source
    names = ("_id", "_type", "_subject", "_time", "_topic")
    envelope = zip(*(column(rows, name).to_pylist() for name in names), strict=True)
    places = zip(rows.column("_partition").to_pylist(), rows.column("_offset").to_pylist(), strict=True)
    given = sources(rows, callee.source, callee.app)
    origins = repeat(given) if isinstance(given, str) else given.to_pylist()
    return [
        Event(id, type or topic, origin, subject, time, key, topic, partition, offset, event, domain_topic)
        for (id, type, subject, time, domain_topic), origin, key, (partition, offset), event in zip(
            envelope, origins, keys(rows, callee.source).to_pylist(), places, events, strict=False
        )
    ]
