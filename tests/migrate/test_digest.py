"""Digests: the same for the same rows however they are cut, and another for any other."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Batch, Lineage, TopicSpec
from penstock.migrate.digest import Digest

COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "bool": (pa.bool_(), [True, None, False, False]),
    "int": (pa.int16(), [1, -1, None, 0]),
    "float": (pa.float64(), [0.0, float("nan"), float("inf"), None]),
    "half": (pa.float16(), [0.5, None, 1.5, 2.0]),
    "text": (pa.string(), ["", "é", None, "ab"]),
    "bytes": (pa.binary(), [b"a", b"b", b"", None]),
    "large": (pa.large_string(), ["x", None, "y", ""]),
    "day": (pa.date32(), [date(2026, 1, 1), None, date(1970, 1, 1), date(1960, 1, 1)]),
    "at": (pa.timestamp("us", tz="UTC"), [datetime(2026, 1, 1), None, datetime(1970, 1, 1), datetime(1960, 1, 1)]),
    "clock": (pa.time64("us"), [time(1), None, time(2), time(3)]),
    "span": (pa.duration("us"), [timedelta(1), None, timedelta(2), timedelta(0)]),
    "list": (pa.list_(pa.int64()), [[1, 2], [], None, [3, None]]),
    "struct": (pa.struct([("a", pa.int64())]), [{"a": 1}, None, {"a": None}, {"a": 2}]),
    "decimal": (pa.decimal128(9, 2), [Decimal("1.50"), None, Decimal(0), Decimal(-1)]),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])
ROWS = pa.RecordBatch.from_arrays([pa.array(v, k) for k, v in COLUMNS.values()], schema=SCHEMA)
SPEC = TopicSpec("t", SCHEMA, 1)


def digest(*parts: pa.RecordBatch, origin: Lineage | None = None) -> str:
    found = Digest()
    for rows in parts:
        places = np.arange(rows.num_rows, dtype=np.int64)
        found.add(Batch("t", 0, places, places, rows, origin), rows, SPEC)
    return found.hex()


@given(st.lists(st.integers(0, 16), max_size=6))
def test_batches_may_end_anywhere(cuts: list[int]) -> None:
    many = pa.concat_batches([ROWS] * 4)
    bounds = [0, *sorted(cuts), many.num_rows]
    assert digest(*(many.slice(a, b - a) for a, b in pairwise(bounds))) == digest(many)


@pytest.mark.parametrize("name", COLUMNS)
def test_each_value_counts(name: str) -> None:
    kind, values = COLUMNS[name]
    place = SCHEMA.get_field_index(name)
    others = [
        [*values[1:], values[0]],
        [None if v is not None else values[0] for v in values],
        [*values[:3], values[0]],
    ]
    for other in others:
        assert digest(ROWS.set_column(place, SCHEMA.field(place), pa.array(other, kind))) != digest(ROWS)


def test_so_does_what_made_it() -> None:
    origins = [None, Lineage("s", "t", "c"), Lineage("s", "t", "d"), Lineage("s", "t", "c", "m", 1)]
    assert len({digest(ROWS, origin=origin) for origin in origins}) == 4


def test_values_do_not_run_into_each_other() -> None:
    def texts(*values: str) -> str:
        at = SCHEMA.get_field_index("text")
        return digest(ROWS.slice(0, 2).set_column(at, SCHEMA.field(at), pa.array(values)))

    assert texts("ab", "c") != texts("a", "bc")
