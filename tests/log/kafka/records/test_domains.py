"""Records of a domain: each says its domain topic, and one that does not is none of its."""

from __future__ import annotations

import pyarrow as pa
import pytest
from tests.log.kafka.records.samples import LIMIT

from penstock.batch import TopicSpec, Write
from penstock.log.kafka.records.arrow import ArrowRecords
from penstock.log.kafka.records.interface import Headers, ReceivedRecord
from penstock.log.kafka.records.json import DOMAIN_TOPIC, JsonRecords

SPEC = TopicSpec("tx", pa.schema([pa.field("n", pa.int64(), nullable=False)]), 1, domain=True)
CE: Headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")]


def rows(topics: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(range(len(topics)), pa.int64()), "_topic": pa.array(topics, pa.string())})


@pytest.mark.parametrize("records", [ArrowRecords(LIMIT), JsonRecords(LIMIT)])
def test_the_topic_of_each_row_comes_back(records: ArrowRecords | JsonRecords) -> None:
    made = records.encode(SPEC, Write("tx", 0, rows(["acme", "beta", "acme"])))
    received = [ReceivedRecord(n, 1, record.value, record.headers, record.key) for n, record in enumerate(made)]
    (chunk,) = records.decode(SPEC, received)
    assert chunk.rows is not None and chunk.rows.column("_topic").to_pylist() == ["acme", "beta", "acme"]


def test_a_record_of_json_has_it_as_a_header_that_any_client_reads_and_writes() -> None:
    (made, _) = JsonRecords(LIMIT).encode(SPEC, Write("tx", 0, rows(["acme", "beta"])))
    assert (DOMAIN_TOPIC, b"acme") in made.headers
    foreign = ReceivedRecord(0, 1, b'{"n":1}', [(DOMAIN_TOPIC, b"gamma")], None)
    (chunk,) = JsonRecords(LIMIT).decode(SPEC, [foreign])
    assert chunk.rows is not None and chunk.rows.column("_topic").to_pylist() == ["gamma"]


@pytest.mark.parametrize(
    "headers", [[], CE, [(DOMAIN_TOPIC, b"")], [(DOMAIN_TOPIC, b"a/b")], [(DOMAIN_TOPIC, b"\xff")]]
)
def test_a_record_that_says_none_is_rejected_alone(headers: Headers) -> None:
    good = ReceivedRecord(1, 1, b'{"n":2}', [*CE, (DOMAIN_TOPIC, b"acme")], None)
    bad, found = JsonRecords(LIMIT).decode(SPEC, [ReceivedRecord(0, 1, b'{"n":1}', headers, None), good])
    assert bad.rejected is not None and bad.rejected.reason.startswith("not an event of this topic")
    assert found.rows is not None and found.rows.column("_topic").to_pylist() == ["acme"]


def test_rows_of_a_foreign_arrow_record_without_it_are_rejected() -> None:
    records = ArrowRecords(LIMIT)
    plain = TopicSpec("tx", SPEC.schema, 1)
    (made,) = records.encode(plain, Write("tx", 0, pa.record_batch({"n": pa.array([1], pa.int64())})))
    (chunk,) = records.decode(SPEC, [ReceivedRecord(0, 1, made.value, made.headers, None)])
    assert chunk.rejected is not None and "says no domain topic" in chunk.rejected.reason
