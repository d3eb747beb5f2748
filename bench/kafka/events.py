"""The events as records of either encoding, and what a direct call of the model says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from penstock.batch import TopicSpec, Write
from penstock.bench.bare import FEATURES, BareDeparture, session
from penstock.log.kafka.records.arrow import ArrowRecords, rows_of
from penstock.partition import assign

PARTITIONS = 4
ROWS = 1_000  # events of one Arrow record
TOLERANCE = 1e-3  # minutes: float32, summed in another order


@dataclass(frozen=True, slots=True)
class Record:
    partition: int
    key: bytes | None
    value: bytes


def records(encoding: str, events: Sequence[BareDeparture]) -> list[Record]:
    """As a client that knows nothing of Penstock writes them, in the partitions of their keys."""
    partitions = assign(pa.array([event.tailnum for event in events]), PARTITIONS)
    if encoding == "json":
        encode = msgspec.json.Encoder().encode
        return [Record(p, e.tailnum.encode(), encode(e)) for p, e in zip(partitions.tolist(), events, strict=True)]
    columns = {name: [getattr(event, name) for event in events] for name in BareDeparture.__struct_fields__}
    schema = pa.schema(
        [pa.field(f.name, _ARROW[f.type], nullable=False) for f in msgspec.structs.fields(BareDeparture)]
    )
    rows = pa.RecordBatch.from_pydict(columns, schema=schema)
    spec, encoder = TopicSpec("departures", schema, PARTITIONS, "tailnum"), ArrowRecords(1 << 20)
    found = []
    for partition in range(PARTITIONS):
        own = rows.filter(pa.array(partitions == partition))
        for start in range(0, own.num_rows, ROWS):
            write = Write("departures", partition, own.slice(start, ROWS))
            found += [Record(partition, None, out.value) for out in encoder.encode(spec, write)]
    return found


_ARROW: Mapping[type, pa.DataType] = {int: pa.int64(), float: pa.float64(), str: pa.string()}


def count(encoding: str, value: bytes) -> int:
    return 1 if encoding == "json" else rows_of(value)


def check(encoding: str, values: Sequence[bytes], expected: np.ndarray) -> None:
    """Raises ``AssertionError`` unless each event was scored once, as the model scores it."""
    if encoding == "json":
        rows = [msgspec.json.decode(value) for value in values]
        flights, delays = [row["flight"] for row in rows], [row["arr_delay"] for row in rows]
    else:
        table = pa.concat_tables([pa.ipc.open_stream(value).read_all() for value in values])
        flights, delays = table["flight"].to_pylist(), table["arr_delay"].to_pylist()
    assert len(flights) == len(expected), f"{len(flights)} predictions of {len(expected)} events"
    assert sorted(flights) == list(range(len(expected))), "events are missing, and others were scored twice"
    furthest = float(np.abs(expected[flights] - np.array(delays)).max())
    assert furthest < TOLERANCE, f"a prediction is {furthest} minutes from the model's"


def scored(events: Sequence[BareDeparture], model: Path) -> np.ndarray:
    """Each event's delay by the model, called directly; an event's ``flight`` is its place."""
    scorer = session(model)
    rows = np.array([[getattr(event, name) for name in FEATURES] for event in events], np.float32)
    found: np.ndarray = scorer.run(None, {scorer.get_inputs()[0].name: rows})[0][:, 0]
    return found
