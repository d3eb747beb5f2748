"""Outputs and positions are stored together, or not at all."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ...batch import Write
from ...errors import Fenced, LogError, NotFound, SchemaChanged
from ...log.interface import Advance, Log
from .opening import OpenedLogs
from .words import again, by_partition, drain, log_end, numbers, through, values, write


class CommitsContract(OpenedLogs):
    def test_outputs_and_positions_of_several_partitions_appear_together(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        log.create(numbers("out", partitions=2))
        log.append([write([1], partition=0), write([2], partition=1)])
        reader = log.reader("g", ["t"], "m")
        reader.commit(through(reader.read(10, 0)), [write([10], "out", 0), write([20], "out", 1)])
        assert by_partition(drain(log.reader(None, ["out"], "m"))) == {0: [10], 1: [20]}
        assert values(drain(again(log, reader))) == []

    def test_a_commit_with_one_bad_output_stores_nothing(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        log.create(numbers("out"))
        log.append([write([1], partition=0), write([2], partition=1)])
        reader = log.reader("g", ["t"], "m")
        batches = reader.read(10, 0)
        bad = pa.record_batch({"n": ["text"]})
        with pytest.raises(SchemaChanged):
            reader.commit(through(batches), [write([10], "out"), Write("out", 0, bad)])
        assert drain(log.reader(None, ["out"], "m")) == []
        assert sorted(values(drain(again(log, reader)))) == [1, 2]

    def test_an_advance_without_rows_is_legal_and_fenced(self, log: Log) -> None:
        log.create(numbers())
        (span,) = log.append([write(range(5))])
        reader = log.reader("g", ["t"], "m")
        reader.commit([Advance("t", 0, span.last)], [])
        reader.commit([Advance("t", 0, span.last)], [])
        reader.commit([], [])
        log.reader("g", ["t"], "m")  # a later reader of this name displaces the first
        with pytest.raises(Fenced):
            reader.commit([Advance("t", 0, span.last)], [])

    def test_a_position_neither_goes_back_nor_past_the_end(self, log: Log) -> None:
        log.create(numbers())
        (span,) = log.append([write(range(5))])
        reader = log.reader("g", ["t"], "m")
        reader.commit([Advance("t", 0, span.last)], [])
        for wrong in (span.first, log_end(log) + 5):
            with pytest.raises(LogError):
                reader.commit([Advance("t", 0, wrong)], [write([9])])
        assert values(drain(log.reader(None, ["t"], "m"))) == list(range(5))

    def test_an_append_over_topics_is_all_or_nothing(self, log: Log) -> None:
        log.create(numbers("a"))
        log.create(numbers("b"))
        spans = log.append([write([1, 2], "a"), write([3], "b"), write([], "a")])
        assert [(s.topic, s.count) for s in spans] == [("a", 2), ("b", 1), ("a", 0)]
        for bad in (Write("b", 0, pa.record_batch({"n": ["x"]})), write([1], "nowhere"), write([1], "b", 9)):
            with pytest.raises((SchemaChanged, NotFound)):
                log.append([write([7], "a"), bad])
        got = drain(log.reader(None, ["a", "b"], "m"))
        assert {b.topic: values([b]) for b in got} == {"a": [1, 2], "b": [3]}

    @pytest.mark.parametrize(
        "rows",
        [
            pa.record_batch({"n": pa.array([1, None], pa.int64())}),
            pa.record_batch({"n": pa.array([1], pa.int32())}),
            pa.record_batch({"n": pa.array([1]), "extra": pa.array([1])}),
            pa.record_batch({"n": pa.array([1]), "_other": pa.array([1])}),
            pa.record_batch({"n": pa.array([1]), "_id": pa.array([1])}),
            pa.record_batch({"_id": ["a"]}),
            pa.record_batch([pa.array([1]), pa.array([2])], names=["n", "n"]),
        ],
        ids=["null", "type", "unknown", "envelope", "envelope type", "missing", "twice"],
    )
    def test_rows_that_do_not_fit_are_refused_and_nothing_is_stored(self, log: Log, rows: pa.RecordBatch) -> None:
        log.create(numbers())
        with pytest.raises(SchemaChanged, match="topic 't'"):
            log.append([write([1]), Write("t", 0, rows)])
        assert drain(log.reader(None, ["t"], "m")) == []
