"""What a read gives: everything in its order, within its budget, when something comes or the time is over."""

from __future__ import annotations

import threading
import time
from functools import partial

import pyarrow as pa

from ...batch import Batch, Lineage, Write
from ...clock import ManualClock
from ...log.interface import Log
from .opening import OpenedLogs
from .words import by_partition, drain, numbers, until, values, write


class ReadingContract(OpenedLogs):
    def test_rows_come_back_in_order_with_increasing_positions(self, log: Log) -> None:
        log.create(numbers())
        spans = [log.append([write(range(i, i + 10))])[0] for i in range(0, 100, 10)]
        got = drain(log.reader("g", ["t"], "m"))
        assert values(got) == list(range(100)), "rows are in another order"
        positions = [p for batch in got for p in batch.positions.tolist()]
        assert positions == sorted(set(positions))
        assert positions[::10] == [span.first for span in spans] and positions[9::10] == [s.last for s in spans]

    def test_the_partitions_of_one_append_keep_their_rows_apart(self, log: Log) -> None:
        log.create(numbers(partitions=3))
        log.append([write([1, 2], partition=0), write([3], partition=2), write([4], partition=0)])
        assert by_partition(drain(log.reader("g", ["t"], "m"))) == {0: [1, 2, 4], 2: [3]}

    def test_a_read_that_asks_nobody_finds_in_time_what_is_stored(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        log.append([write([1], partition=0), write([2], partition=1)])
        for reader in (log.reader("g", ["t"], "m"), log.reader(None, ["t"], "m")):
            got = until(partial(reader.read, 10, None), enough=2, within=30)
            assert by_partition(got) == {0: [1], 1: [2]}
            assert reader.read(10, None) == []

    def test_a_read_never_exceeds_its_budget_and_goes_on_inside_a_stored_batch(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        log.append([write(range(100), partition=0), write(range(1000, 1003), partition=1)])
        reader = log.reader("g", ["t"], "m")
        seen: list[Batch] = []
        while batches := reader.read(7, 0):
            assert sum(map(len, batches)) <= 7
            assert len({b.partition for b in batches}) == len(batches)
            seen += batches
        assert by_partition(seen) == {0: list(range(100)), 1: [1000, 1001, 1002]}

    def test_a_busy_partition_does_not_starve_the_others(self, log: Log) -> None:
        log.create(numbers(partitions=4))
        log.append([write(range(10_000), partition=0), *(write([1], partition=p) for p in (1, 2, 3))])
        reader = log.reader("g", ["t"], "m")
        assert {b.partition for b in reader.read(8, 0)} == {0, 1, 2, 3}
        log.append([write([1], partition=p) for p in (1, 2, 3)])
        turns = [b.partition for _ in range(4) for b in reader.read(1, 0)]
        assert {1, 2, 3} <= set(turns)

    def test_adjacent_appends_of_one_origin_are_read_as_one_batch(self, log: Log) -> None:
        log.create(numbers())
        made = Lineage("stage", "parents", "c0de", "model", 3)
        for n in range(5):
            log.append([write([n])])
        log.append([write([5], origin=made)])
        log.append([write([6], origin=made)])
        got = drain(log.reader("g", ["t"], "m"))
        assert [values([b]) for b in got] == [[0, 1, 2, 3, 4], [5, 6]]
        assert [b.origin for b in got] == [None, made]

    def test_the_envelope_comes_back_as_it_was_given(self, log: Log) -> None:
        log.create(numbers())
        rows = pa.record_batch({"n": pa.array([1, 2]), "_id": ["a", None], "_parent": pa.array([7, 8], pa.int64())})
        log.append([Write("t", 0, rows), write([3])])
        (batch,) = drain(log.reader("g", ["t"], "m"))
        self.check_ids(batch, "a", None, None)
        assert batch.rows.column("_parent").to_pylist() == [7, 8, None]

    # -- waiting --------------------------------------------------------------

    def test_a_waiting_reader_is_woken_by_an_append(self, log: Log, twin: Log) -> None:
        log.create(numbers())
        reader = twin.reader("g", ["t"], "m")
        reader.read(1, 0)
        sender = threading.Timer(0.2, lambda: log.append([write([7])]))
        sender.start()
        began = time.monotonic()
        assert values(reader.read(10, 8)) == [7]
        assert time.monotonic() - began < 3
        sender.join()

    def test_reading_nothing_takes_as_long_as_was_asked(self, log: Log) -> None:
        log.create(numbers())
        reader, began = log.reader("g", ["t"], "m"), time.monotonic()
        assert reader.read(10, 0.25) == []
        assert 0.2 < time.monotonic() - began < 2

    def test_closing_wakes_a_waiting_reader(self, log: Log) -> None:
        log.create(numbers())
        reader = log.reader("g", ["t"], "m")
        closer = threading.Timer(0.2, reader.close)
        closer.start()
        assert reader.read(10, 8) == []
        closer.join()

    def test_a_hand_moved_clock_is_never_waited_for(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers())
        before, began = clock.now(), time.monotonic()
        assert timed.reader("g", ["t"], "m").read(10, 3_600) == []
        assert clock.now() == before and time.monotonic() - began < 5
