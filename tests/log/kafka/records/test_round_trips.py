"""Rows become records and the same rows again, envelope included, wherever the work on them was left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from tests.log.kafka.records.samples import LIMIT, SCHEMA, batch, lineage, origin, plain, read, received, writes

from penstock.batch import JSON_SCHEMA, Batch, Lineage, TopicSpec, Write, column, event_ids
from penstock.log.kafka.consume.buffer import PartitionBuffer
from penstock.log.kafka.consume.consumer import Committed
from penstock.log.kafka.records import json as json_records
from penstock.log.kafka.records.arrow import ArrowRecords
from penstock.log.kafka.records.interface import Encoding, OutgoingRecord
from penstock.log.kafka.records.json import PARENT, JsonRecords

KEYED = TopicSpec("t", SCHEMA, 1, "name")


def encodings() -> Iterator[Encoding]:
    yield ArrowRecords(LIMIT)
    yield JsonRecords(LIMIT)


def same(encoding: Encoding, spec: TopicSpec, write: Write, most: int = 1 << 30) -> None:
    records = received(encoding.encode(spec, write))
    batches = read(encoding, spec, records, most)
    assert not any(each.rejected for each in batches), "a record of ours is refused"
    expected = [{n: v for n, v in row.items() if v is not None} for row in write.rows.to_pylist()]
    for row in [*expected, *(found := plain(batches))]:
        if spec.key is not None and row.get("_key") == row[spec.key]:
            del row["_key"]  # an absent one says the same
        for name, otherwise in (("_type", spec.name), ("_source", spec.default_source)):
            if row.get(name) == otherwise:
                del row[name]  # so does this
    assert found == expected
    assert all(each.origin == write.origin for each in batches)
    positions = [int(p) for each in batches for p in each.positions]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize("published", [None, "/penstock/t", "/other/t"])
def test_a_source_comes_back_as_it_was_published(published: str | None) -> None:
    """One that another app's topic, or one that says none, has by itself is the publisher's own here."""
    rows = batch([{"name": "a", "n": 1, "_source": published}])
    spec = TopicSpec("t", SCHEMA, 1, source="/fraud/t")
    for encoding in encodings():
        (found,) = read(encoding, spec, received(encoding.encode(spec, Write("t", 0, rows))), 1 << 30)
        assert column(found.rows, "_source").to_pylist() == [published]


NO_JSON = pytest.mark.parametrize(
    ("extensions", "data"),
    [
        ('{"datacontenttype":"text/plain"}', '"hello"'),
        ('{"data_base64":true}', '"AP8="'),
        ('{"datacontenttype":"image/png","data_base64":true}', '"AP8="'),
    ],
    ids=["text", "bytes", "bytes of a type"],
)


@NO_JSON
def test_data_that_were_published_as_no_json_come_back(extensions: str, data: str) -> None:
    schema = JSON_SCHEMA.append(pa.field("_id", pa.string())).append(pa.field("_extensions", pa.string()))
    rows = pa.RecordBatch.from_pylist([{"json": data, "_id": "1", "_extensions": extensions}], schema)
    for encoding in encodings():
        same(encoding, TopicSpec("t"), Write("t", 0, rows))


@NO_JSON
def test_mutant_a_record_whose_value_is_not_taken_for_json_is_caught(
    extensions: str, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "JSON_CONTENT", ("content-type", b"nothing"))
    with pytest.raises(AssertionError, match="a record of ours is refused"):
        test_data_that_were_published_as_no_json_come_back(extensions, data)


def test_a_mark_of_bytes_before_what_are_none_is_refused() -> None:
    records = JsonRecords(LIMIT)
    for value, headers in (
        (b'"A"', [("ce_data_base64", b"true")]),
        (b"5", [("ce_data_base64", b"true")]),
        (b"5", [("ce_datacontenttype", b"text/plain\r\nx: y")]),
    ):
        known = [("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t"), ("ce_specversion", b"1.0")]
        given = OutgoingRecord(value, 1, [*known, ("content-type", b"application/json"), *headers], None)
        (found,) = read(records, TopicSpec("t"), received([given]), 1 << 30)
        assert found.rejected and not len(found), f"{value!r} is taken for bytes"


def test_two_apps_on_one_cluster_are_two_sources() -> None:
    """Of events without one: id and source together say which event it is."""
    write = Write("t", 0, batch([{"name": "a", "n": 1}]))
    said = {
        value
        for app in ("fraud", "audit")
        for record in JsonRecords(LIMIT).encode(TopicSpec("t", SCHEMA, 1, source=f"/{app}/t"), write)
        for name, value in record.headers
        if name == "ce_source"
    }
    assert said == {b"/fraud/t", b"/audit/t"}


@given(writes(), st.integers(1, 5))
def test_rows_come_back_equal(write: Write, most: int) -> None:
    for encoding in encodings():
        same(encoding, TopicSpec("t", SCHEMA, 1), write, most)


@given(writes())
def test_rows_of_a_keyed_topic_come_back_equal(write: Write) -> None:
    for encoding in encodings():
        same(encoding, KEYED, write)


@given(st.lists(lineage.filter(lambda parent: parent["_parent_partition"] is not None), min_size=1), origin)
def test_ids_that_are_derived_say_the_parents(parents: list[dict[str, Any]], made: Lineage) -> None:
    rows = batch([{"name": "a", "n": 1} | parent for parent in parents])
    records = JsonRecords(LIMIT).encode(KEYED, write := Write("t", 0, rows, made))
    assert PARENT not in {name for record in records for name, _ in record.headers}
    (found,) = read(JsonRecords(LIMIT), KEYED, received(records), 1 << 30)
    assert found.origin == made
    for name in ("_parent_partition", "_parent", "_ordinal"):
        assert column(found.rows, name).to_pylist() == column(rows, name).to_pylist()
    places = np.arange(len(parents))
    assert event_ids(found).equals(event_ids(Batch("t", 0, places, places, rows, write.origin)))


@given(writes(), st.data())
def test_work_left_at_any_row_goes_on_with_the_next(write: Write, data: st.DataObject) -> None:
    """A position becomes what Kafka keeps of it, and a reader that begins there reads the rest, each row once."""
    spec = TopicSpec("t", SCHEMA, 1)
    half = data.draw(st.integers(0, write.rows.num_rows))
    parts = [Write("t", 0, rows, write.origin) for rows in (write.rows.slice(0, half), write.rows.slice(half))]
    for encoding in encodings():
        records = received([r for part in parts for r in encoding.encode(spec, part)])
        whole = plain(read(encoding, spec, records))
        lane = PartitionBuffer(("t", 0), encoding.numbering, 0)
        for chunk in encoding.decode(spec, records):
            lane.add(chunk)
        positions = lane.take(spec, 1 << 30).positions.tolist()
        for done, through in enumerate(positions, 1):
            kept = Committed.of(Committed(*lane.committed(through)).at("t", 0))
            assert kept is not None
            heir = PartitionBuffer(("t", 0), encoding.numbering, kept.offset, (kept.offset, kept.row))
            for chunk in encoding.decode(spec, [r for r in records if r.offset >= kept.offset]):
                heir.add(chunk)
            assert plain([heir.take(spec, 1 << 30)] if heir.rows else []) == whole[done:], (
                "a row is left out or read again"
            )
            if done < len(whole):
                assert heir.committed(positions[-1]) == (records[-1].offset + 1, 0)


@pytest.mark.parametrize("mutant", ["one row on", "the record again"])
def test_mutant_another_row_in_the_metadata_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PartitionBuffer.committed

    def wrong(self: PartitionBuffer, through: int) -> tuple[int, int]:
        offset, row = right(self, through)
        return (offset, row + 1 if mutant == "one row on" else 0) if row else (offset, row)

    monkeypatch.setattr(PartitionBuffer, "committed", wrong)
    row = {"name": "a", "n": 1}
    with pytest.raises(AssertionError, match="left out or read again"):
        test_work_left_at_any_row_goes_on_with_the_next.hypothesis.inner_test(  # type: ignore[attr-defined]
            Write("t", 0, batch([row | {"n": n} for n in range(4)])), _Chosen()
        )


class _Chosen:
    """The whole write as one part."""

    def draw(self, strategy: st.SearchStrategy[int]) -> int:
        return 0


@pytest.mark.parametrize(
    "metadata", ["", "row=", "row=-1", "row=65536", "row=" + "9" * 5_000, "row=x", "line=3", "\u0663"]
)
def test_metadata_of_another_client_begins_with_the_whole_record(metadata: str) -> None:
    assert Committed.of(TopicPartition("t", 0, 5, metadata)) == Committed(5)
