"""Where rows name the positions of others: their parents, what a dead letter or a delivery that waits was, from
where on a version scores, how far a subscription has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ..batch import DEAD, RETRY, SYSTEM, Batch, Positions, column, event_ids
from ..models.messages import Activated
from ..stages.deliver.state import POSITIONED
from .offset_map import Runs, gone
from .parents_first import Place


@dataclass(frozen=True, slots=True)
class Translation:
    """From the positions of a log into what says the same of another one. ``source``: the ranks of its positions, as
    far as they are known; ``target``: those of the other log, into whose positions they are translated, or None: the
    ranks themselves, which are the same on every log that holds the same rows."""

    source: Mapping[Place, Runs]
    target: Mapping[Place, Runs] | None = None

    def rows(self, place: Place, wanted: Positions) -> Positions:
        """What stands for these rows of a partition; ``offset_map.gone`` of those that are not there."""
        if place not in self.source:
            return gone(wanted)
        found = self.source[place].values_of(wanted)
        if self.target is None:
            return found
        return np.where(found < 0, found, self.target[place].keys_of(found)) if place in self.target else gone(wanted)

    def through(self, place: Place, position: int) -> int:
        """What stands for having dealt with everything through a position, where there need not be a row: the last row
        that is not behind it; -1 where there is none. One of a topic that is no more stays as it is."""
        if position < 0 or place not in self.source:
            return position
        rank = self.source[place].before(position + 1) - 1
        if self.target is None or rank < 0:
            return rank
        return int(self.target[place].keys_of(np.array([rank], np.int64))[0])


def ranks(known: Mapping[Place, Runs]) -> Translation:
    """By how many rows come before."""
    return Translation(known)


def moved(source: Mapping[Place, Runs], target: Mapping[Place, Runs]) -> Translation:
    """By the position of the row with the same rank on another log."""
    return Translation(source, target)


def translated(batch: Batch, find: Translation) -> pa.RecordBatch:
    """The rows with their positions translated, and with what readers saw though it was not stored: ids and times that
    came of where a row was and when."""
    found: dict[str, pa.Array] = {"_id": event_ids(batch), "_time": _times(batch)}
    if batch.origin is not None:
        partitions, parents = (column(batch.rows, n) for n in ("_parent_partition", "_parent"))
        found["_parent"] = _translated(find, [batch.origin.topic] * len(batch), partitions, parents)
    if batch.topic in (DEAD, RETRY):
        topics, partitions, offsets = (batch.rows.column(n) for n in ("topic", "partition", "offset"))
        found["offset"] = _translated(find, topics.to_pylist(), partitions, offsets)
    if batch.topic == SYSTEM:
        found["json"] = _system(find, batch)
    return _in_place(batch.rows, found)


def _times(batch: Batch) -> pa.Array:
    appended = pa.array(batch.appended).cast(pa.timestamp("us", tz="UTC"))
    return column(batch.rows, "_time").fill_null(appended)


def _translated(find: Translation, topics: list[str], partitions: pa.Array, positions: pa.Array) -> pa.Array:
    numbers = positions.cast("int64").fill_null(-1).to_numpy().copy()
    places = list(zip(topics, partitions.to_pylist(), strict=True))
    for place in {place for place in places if place[1] is not None}:
        rows = np.fromiter((p == place for p in places), bool, len(places))
        numbers[rows] = find.rows(place, numbers[rows])
    return pa.array(numbers, pa.int64(), mask=positions.is_null().to_numpy(zero_copy_only=False))


def _system(find: Translation, batch: Batch) -> pa.Array:
    texts = batch.rows.column("json").to_pylist()
    for row, kind in enumerate(column(batch.rows, "_type").to_pylist()):
        if kind == Activated.TYPE:
            said: dict[str, Any] = msgspec.json.decode(texts[row])
            at = np.array([said["from_offset"]], np.int64)
            said["from_offset"] = int(find.rows((said["topic"], said["partition"]), at)[0])
            texts[row] = msgspec.json.encode(said).decode()
        elif (positioned := POSITIONED.get(kind)) is not None:
            message = msgspec.json.decode(texts[row], type=positioned)
            texts[row] = msgspec.json.encode(message.moved(find.through)).decode()
    return pa.array(texts, pa.string())


def _in_place(rows: pa.RecordBatch, columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Each column where it was; those that were not there at the end."""
    fields = {name: rows.schema.field(name) for name in rows.schema.names}
    fields |= {name: pa.field(name, array.type) for name, array in columns.items() if name not in fields}
    arrays = [columns[name] if name in columns else rows.column(name) for name in fields]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(list(fields.values()), rows.schema.metadata))
