from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.schema.flights import GOOD, Flight

from penstock.batch import ENVELOPE, JSON_SCHEMA, Batch, Lineage, TopicSpec
from penstock.schema.decode import Decoder
from penstock.schema.encode import keys, times, to_dicts, to_json, to_ndjson
from penstock.schema.types import schema_of

DECODER = Decoder(schema_of(Flight))
TOPIC = TopicSpec("flights", DECODER.schema, key="flight")


def batch(rows: pa.RecordBatch, origin: Lineage | None = None) -> Batch:
    count = rows.num_rows
    return Batch("flights", 3, np.arange(count) * 5 + 10, np.full(count, 1_700_000_000_000_000), rows, origin)


def test_a_published_row() -> None:
    rows = DECODER.columns(DECODER.convert([GOOD | {"raw": b"xy"}]))
    row = to_dicts(batch(rows), TOPIC, "app")[0]
    data = row.pop("data")
    assert row == {
        "topic": "flights",
        "partition": 3,
        "offset": 10,
        "id": "flights/3/10",
        "time": "2023-11-14T22:13:20Z",
        "key": "1",
        "source": "/app/flights",
        "type": "flights",
    }
    assert (data["raw"], data["at"], data["day"]) == ("eHk=", "2013-01-01T00:00:00Z", "2013-01-01")
    assert data["leg"] == {"origin": "JFK", "minutes": None}


def test_what_is_written_can_be_published_again() -> None:
    rows = DECODER.columns(DECODER.convert([GOOD, GOOD | {"tailnum": "N1", "legs": [{"origin": "a", "minutes": 2}]}]))
    sent = [row["data"] for row in to_dicts(batch(rows), TOPIC, "app")]
    assert DECODER.columns(DECODER.decode(json.dumps(sent).encode())).equals(rows)


def test_the_envelope_comes_before_what_is_derived() -> None:
    rows = DECODER.columns(DECODER.convert([GOOD, GOOD]))
    for name, values in {
        "_id": ["a", None],
        "_key": ["k", None],
        "_subject": [None, "s"],
        "_extensions": ['{"x":1}', None],
    }.items():
        rows = rows.append_column(name, pa.array(values, pa.string()))
    first, second = to_dicts(batch(rows), TOPIC, "app")
    assert (first["id"], first["key"], first["extensions"], "subject" in first) == ("a", "k", {"x": 1}, False)
    assert (second["id"], second["key"], second["subject"]) == ("flights/3/15", "1", "s")
    assert "_id" not in first["data"]


def test_a_prediction_says_what_made_it_and_nan_is_null() -> None:
    rows = pa.RecordBatch.from_pydict(
        {
            "score": [float("nan"), 1.0],
            "_parent_partition": pa.array([1, 1], pa.int32()),
            "_parent": [7, 9],
        }
    )
    made = batch(rows, Lineage("scores", "inputs", "c0de", "fraud", 3))
    first = to_dicts(made, TopicSpec("flights", rows.schema), "app")[0]
    assert first["data"] == {"score": None} and first["key"] is None
    assert first["parent"] == {"topic": "inputs", "partition": 1, "offset": 7}
    assert (first["stage"], first["model"], first["version"], first["code"]) == ("scores", "fraud", 3, "c0de")


def test_json_topics_and_lines() -> None:
    decoder = Decoder(JSON_SCHEMA)
    rows = decoder.columns(decoder.decode(b'[{"a": [1]}, "x\\n"]'))
    made = batch(rows)
    assert [row["data"] for row in to_dicts(made, TopicSpec("flights"), "app")] == [{"a": [1]}, "x\n"]
    lines = to_ndjson(made, TopicSpec("flights"), "app").splitlines()
    assert [json.loads(line) for line in lines] == json.loads(to_json(made, TopicSpec("flights"), "app"))
    assert to_json(batch(rows.slice(0, 0)), TopicSpec("flights"), "app") == b"[]"


def test_keys_without_a_key_column_are_null() -> None:
    rows = DECODER.columns(DECODER.convert([GOOD]))
    assert keys(rows, TopicSpec("flights", DECODER.schema)).to_pylist() == [None]


@given(st.lists(st.datetimes(timezones=st.just(UTC)) | st.none(), min_size=1))
def test_times_are_spelled_as_the_encoder_spells_them(moments: list[datetime | None]) -> None:
    rows = pa.RecordBatch.from_pydict({"json": ["1"] * len(moments), "_time": pa.array(moments, ENVELOPE["_time"])})
    appended = datetime.fromtimestamp(1_700_000_000, UTC)
    assert times(batch(rows)).to_pylist() == json.loads(msgspec.json.encode([m or appended for m in moments]))
