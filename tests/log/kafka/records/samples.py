"""Topics, rows of any content with any envelope, and their way through an encoding and a lane."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import strategies as st

from penstock.batch import ENVELOPE, Batch, Lineage, TopicSpec, Write
from penstock.log.kafka.consume.buffer import PartitionBuffer
from penstock.log.kafka.records.interface import Encoding, OutgoingRecord, ReceivedRecord

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("x", pa.float64()),
        pa.field("flag", pa.bool_()),
        pa.field("tags", pa.list_(pa.string())),
    ]
)
LIMIT = 1 << 20  # bytes of a record
TIME = 1_700_000_000_000_000

text = st.text(st.characters(codec="utf-8"), max_size=12)
# What the doors let into an attribute: neither control characters nor noncharacters.
attribute = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"]), min_size=1, max_size=12)
source = st.from_regex(r"/[a-z0-9/]{0,9}", fullmatch=True)
row = st.fixed_dictionaries(
    {
        "name": text,
        "n": st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "flag": st.none() | st.booleans(),
        "tags": st.none() | st.lists(text, max_size=3),
    }
)
envelope = st.fixed_dictionaries(
    {
        "_id": attribute,
        "_time": st.none() | st.integers(0, 4_000_000_000_000_000),
        "_key": st.none() | text,
        "_source": st.none() | source,
        "_type": st.none() | attribute,
        "_subject": st.none() | attribute,
        "_extensions": st.none()
        | st.dictionaries(st.from_regex(r"x[a-z0-9]{0,8}", fullmatch=True), attribute, min_size=1, max_size=3),
    }
)
lineage = st.fixed_dictionaries(
    {
        "_parent_partition": st.none() | st.integers(0, 4_000),
        "_parent": st.integers(0, 2**62),
        "_ordinal": st.none() | st.integers(1, 1_000),
    }
)
origin = st.builds(
    Lineage, attribute, attribute, attribute, st.none() | attribute, st.none() | st.integers(1, 1_000_000)
)


@st.composite
def writes(draw: st.DrawFn) -> Write:
    """Published rows, or a stage's, which have parents."""
    made = draw(st.booleans())
    rows = draw(st.lists(st.tuples(row, envelope, lineage), min_size=1, max_size=12))
    plain = [{**data, **around, **(parent if made else {})} for data, around, parent in rows]
    return Write("t", 0, batch(plain), draw(origin) if made else None)


def batch(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """With those columns of the envelope of which there is something."""
    names = [name for name in ENVELOPE if any(r.get(name) is not None for r in rows)]
    schema = pa.schema([*SCHEMA, *(pa.field(name, ENVELOPE[name]) for name in names)])
    return pa.RecordBatch.from_pylist([{n: r.get(n) for n in schema.names} for r in map(_as_stored, rows)], schema)


def _as_stored(row: dict[str, Any]) -> dict[str, Any]:
    extensions = row.get("_extensions")
    return (
        row if extensions is None else {**row, "_extensions": msgspec.json.encode(extensions, order="sorted").decode()}
    )


def received(records: Sequence[OutgoingRecord], first: int = 0) -> list[ReceivedRecord]:
    return [ReceivedRecord(first + n, TIME, r.value, list(r.headers), r.key) for n, r in enumerate(records)]


def read(encoding: Encoding, spec: TopicSpec, records: Sequence[ReceivedRecord], most: int = 1 << 30) -> list[Batch]:
    """As a reader hands them out, so many rows at a time."""
    lane = PartitionBuffer(("t", 0), encoding.numbering, 0)
    for chunk in encoding.decode(spec, records):
        lane.add(chunk)
    return [lane.take(spec, most) for _ in itertools.takewhile(lambda _: lane.rows, itertools.count())]


def plain(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    """Rows as Python values, without what is null."""
    found = [row for each in batches for row in each.rows.to_pylist()]
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def reasons(batches: Sequence[Batch]) -> list[str]:
    return [r.reason for each in batches for r in each.rejected]
