"""Topics, their types and how those change; domains; what a row may be."""

from __future__ import annotations

from typing import cast

import pyarrow as pa
import pytest

from ...batch import JSON_SCHEMA, Lineage, TopicSpec, Write, data_columns
from ...errors import DeclarationError, NotFound, PartitionsChanged, RowsTooLarge, SchemaChanged
from ...log.interface import Log, LogInspection
from ...schema.rows import with_rules
from .opening import OpenedLogs
from .words import NUMBERS, drain, numbers, of_domain, texts_of, through, values, write


class TopicsContract(OpenedLogs):
    def test_creating_twice_is_harmless_and_keeps_what_is_there(self, log: Log) -> None:
        log.create(numbers())
        log.append([write([1])])
        log.create(numbers())
        assert values(drain(log.reader(None, ["t"], "m"))) == [1]

    def test_a_type_gains_optional_fields_and_older_rows_have_nulls(self, log: Log, twin: Log) -> None:
        log.create(numbers())
        twin.append([write([1])])
        grown = pa.schema([pa.field("more", pa.string()), *NUMBERS])
        log.create(TopicSpec("t", grown, 1))
        log.append([Write("t", 0, pa.record_batch({"n": pa.array([2]), "more": ["x"]}))])
        twin.append([write([3])])  # a process that has not heard of it
        (batch,) = drain(twin.reader(None, ["t"], "m"))
        rows = data_columns(batch.rows)
        assert rows.schema.names == ["more", "n"]
        assert rows.to_pylist() == [{"more": None, "n": 1}, {"more": "x", "n": 2}, {"more": None, "n": 3}]

    def test_the_version_from_before_fields_were_added_still_runs(self, log: Log, twin: Log) -> None:
        inner = pa.field("inner", pa.struct([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())]))
        later = TopicSpec("t", pa.schema([pa.field("more", pa.string()), *NUMBERS, inner]), 1)
        log.create(numbers())
        log.create(later)
        row = {"n": 1, "more": "x", "inner": {"a": 1, "b": None}}
        log.append([Write("t", 0, pa.RecordBatch.from_pylist([row], schema=later.schema))])
        twin.create(numbers())  # rolled back: what it does not know stays
        twin.append([write([2])])
        log.create(later)
        log.append([Write("t", 0, pa.RecordBatch.from_pylist([row | {"n": 3}], schema=later.schema))])
        for end in (log, twin):
            (batch,) = drain(end.reader(None, ["t"], "m"))
            nothing = {"n": 2, "more": None, "inner": None}
            assert data_columns(batch.rows).to_pylist() == [row, nothing, row | {"n": 3}]
        for changed in (pa.int64(), pa.list_(pa.string())):
            with pytest.raises(SchemaChanged, match="'more' changed"):
                twin.create(TopicSpec("t", pa.schema([pa.field("more", changed), *NUMBERS]), 1))

    def test_an_added_default_stands_where_older_rows_and_older_writers_have_nothing(self, log: Log, twin: Log) -> None:
        log.create(numbers())
        log.append([write([1])])
        unit = with_rules(pa.field("unit", pa.string(), nullable=False), {"default": "km"})
        log.create(TopicSpec("t", pa.schema([*NUMBERS, unit]), 1))
        twin.append([write([2])])
        log.append([Write("t", 0, pa.record_batch({"n": pa.array([3]), "unit": ["mi"], "_id": ["c"]}))])
        (batch,) = drain(twin.reader(None, ["t"], "m"))
        assert batch.rows.column("unit").to_pylist() == ["km", "km", "mi"], (
            "older rows have another value than the default"
        )
        self.check_ids(batch, None, None, "c")
        assert batch.rows.schema.field("unit").equals(unit, check_metadata=True)
        with pytest.raises(SchemaChanged, match="unit"):
            log.append([Write("t", 0, pa.record_batch({"n": pa.array([4]), "unit": pa.array([None], pa.string())}))])

    @pytest.mark.parametrize(
        "schema",
        [
            pa.schema([pa.field("n", pa.int32(), nullable=False)]),
            pa.schema([pa.field("n", pa.int64())]),
            pa.schema([pa.field("m", pa.int64())]),
            pa.schema([*NUMBERS, pa.field("required", pa.int64(), nullable=False)]),
            JSON_SCHEMA,
        ],
    )
    def test_any_other_change_of_type_is_refused(self, log: Log, schema: pa.Schema) -> None:
        log.create(numbers())
        with pytest.raises(SchemaChanged, match="topic 't'"):
            log.create(TopicSpec("t", schema, 1))
        log.append([write([1])])

    def test_partitions_change_only_by_growing_when_told_to(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        for count, grow in ((3, False), (1, False), (1, True)):
            with pytest.raises(PartitionsChanged):
                log.create(numbers(partitions=count), grow=grow)
        log.create(numbers(partitions=3), grow=True)
        log.append([write([1], partition=2)])

    @pytest.mark.parametrize(
        "spec",
        [
            TopicSpec("", NUMBERS),
            TopicSpec("t", NUMBERS, 0),
            TopicSpec("t", pa.schema([("_id", pa.string())])),
            TopicSpec("t", pa.schema([("a", pa.int64()), ("a", pa.int64())])),
            TopicSpec("t", pa.schema([("a", pa.dictionary(pa.int32(), pa.string()))])),
        ],
    )
    def test_a_topic_that_cannot_be_is_refused(self, log: Log, spec: TopicSpec) -> None:
        with pytest.raises(DeclarationError):
            log.create(spec)

    def test_reading_a_topic_that_is_not_there_is_refused(self, log: Log) -> None:
        with pytest.raises(NotFound, match="nowhere"):
            log.reader("g", ["nowhere"], "m")

    def test_columns_of_every_kind_come_back_equal(self, log: Log) -> None:
        rows = self.every_kind()
        log.create(TopicSpec("t", rows.schema, 1))
        log.append([Write("t", 0, rows.slice(1, 2)), Write("t", 0, rows)])
        (batch,) = drain(log.reader("g", ["t"], "m"))
        expected = pa.Table.from_batches([rows.slice(1, 2), rows])
        assert pa.Table.from_batches([data_columns(batch.rows)]).equals(expected)

    def test_rows_too_large_are_named_and_nothing_of_the_call_is_stored(self, log: Log) -> None:
        if self.limit is None:
            pytest.skip("a row of this backend may have any size")
        texts = pa.schema([("n", pa.int64()), ("text", pa.string())])
        log.create(TopicSpec("t", texts, 2))
        log.append([Write("t", 0, texts_of(texts, [1]))])
        reader = log.reader("g", ["t"], "m")
        (held,) = drain(reader)
        large = self.limit + 1
        writes = [
            Write("t", 0, texts_of(texts, [1] * 5)),
            Write("t", 1, texts_of(texts, [1, large, self.limit // 2, 3 * large, 1])),
            Write("t", 0, texts_of(texts, [large])),
        ]
        for act in (lambda: log.append(writes), lambda: reader.commit(through([held]), writes)):
            with pytest.raises(RowsTooLarge) as error:
                act()
            assert {place: list(rows) for place, rows in error.value.rows.items()} == {1: [1, 3], 2: [0]}
            assert [len(b) for b in drain(log.reader(None, ["t"], "m"))] == [1]
        kept = [writes[0], Write("t", 1, writes[1].rows.take(pa.array([0, 2, 4])))]
        reader.commit(through([held]), kept)
        assert {b.partition: len(b) for b in drain(reader)} == {0: 5, 1: 3}

    # -- domains --------------------------------------------------------------

    def test_the_domain_topic_of_each_row_comes_back(self, log: Log) -> None:
        log.create(numbers(domain=True))
        known = {topic.name: topic for topic in cast("LogInspection", log).topics()}
        assert known["t"].domain, "a domain is a plain topic"
        log.append(
            [Write("t", 0, of_domain([1, 2, 3], ["acme", "beta", "acme"])), Write("t", 0, of_domain([4], ["x"]))]
        )
        made = Lineage("stage", "t", "c0de")
        log.append([Write("t", 0, of_domain([5, 6], ["beta", "acme"]), made)])
        got = drain(log.reader("g", ["t"], "m"))
        topics = [topic for batch in got for topic in batch.rows.column("_topic").to_pylist()]
        assert topics == ["acme", "beta", "acme", "x", "beta", "acme"], "a row is in another domain topic"
        assert values(got) == [1, 2, 3, 4, 5, 6]

    @pytest.mark.parametrize("topics", [[None], [""], ["a/b"], ["-a"], ["x" * 65], ["acme\n"], None])
    def test_a_row_of_a_domain_without_a_domain_topic_is_refused(
        self, log: Log, topics: list[str | None] | None
    ) -> None:
        log.create(numbers(domain=True))
        with pytest.raises(SchemaChanged, match="domain 't'"):
            log.append([write([1]) if topics is None else Write("t", 0, of_domain([1], topics))])
        log.create(numbers("plain"))
        with pytest.raises(SchemaChanged, match="is no domain"):
            log.append([Write("plain", 0, of_domain([1], ["acme"]))])

    @pytest.mark.parametrize("before", [True, False])
    def test_a_topic_and_a_domain_do_not_become_each_other(self, log: Log, before: bool) -> None:
        log.create(numbers(domain=before))
        with pytest.raises(SchemaChanged, match=r"cannot become .*; use another name"):
            log.create(numbers(domain=not before))
        log.create(numbers(domain=before))
