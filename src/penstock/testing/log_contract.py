"""The suite that every log passes. Subclass ``LogContract`` in a test module and say how to open yours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import pyarrow as pa
import pytest

from ..batch import JSON_SCHEMA, AppendResult, Batch, Lineage, TopicSpec, Write, data_columns
from ..clock import Clock, ManualClock, SystemClock
from ..errors import (
    DeclarationError,
    Fenced,
    LogError,
    NotFound,
    Overtaken,
    PartitionsChanged,
    PenstockError,
    RowsTooLarge,
    SchemaChanged,
)
from ..log.interface import Advance, Log, LogInspection, Offsets, OwnedPartition, Reader, Seek
from ..schema.rows import with_rules
from ..settings import Settings

BRISK = Settings(member_timeout=0.6, poll_interval=0.1)
NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])

# Seconds by which a wall clock is set: a little, an hour as daylight saving does, a day, past January 2038.
JUMPS = (1, -1, 3_600, -3_600, 86_400, -86_400, 2**31 - 1_700_000_000)


class LogContract:
    """Every test opens the log with ``open`` in a fresh directory. Set the flags to what the backend can do."""

    survives = True  # what was appended is there after the log is closed and opened again
    shared = True  # a directory may be open twice at once, as from two processes

    injected = True  # append times and retention follow the clock that the log was opened with
    gentle = True  # a partition whose rows are in hand changes its owner only after they were committed
    anonymous = True  # an event that was published without an id has none when it is read
    limit: int | None = None  # bytes that a row may about have, whatever its encoding adds
    settling = 0.0  # seconds within which members that read agree on who owns what

    def open(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        raise NotImplementedError

    def open_twin(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        """The same log once more, as another process has it."""
        return self.open(directory, clock, settings)

    def every_kind(self) -> pa.RecordBatch:
        """Three rows with a column of every type that the backend holds."""
        return every_kind()

    def silence(self, log: Log) -> None:
        """The process of this handle stops, without closing anything: its readers make no further call."""

    def plant(self, log: Log, topic: str, partition: int) -> int:
        """Store a row that cannot be decoded, and return its position; skip where a backend cannot have any."""
        pytest.skip("this backend decodes whatever it stored, or reports damage")

    def check_ids(self, batch: Batch, *expected: str | None) -> None:
        """Where an event without an id gets one as it is stored, any will do that no other has."""
        ids = batch.rows.column("_id").to_pylist()
        given = [i if e is None and not self.anonymous else e for i, e in zip(ids, expected, strict=True)]
        assert ids == given
        assert self.anonymous or len(set(ids)) == len(ids) == len(list(filter(None, ids)))

    # -- what the tests stand on ----------------------------------------------

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[Log]:
        log = self.open(tmp_path, SystemClock(), BRISK)
        yield log
        log.close()

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def timed(self, tmp_path: Path, clock: ManualClock) -> Iterator[Log]:
        """A log whose time the test moves."""
        if not self.injected:
            pytest.skip("this backend's append times are not ours to move")
        log = self.open(tmp_path / "timed", clock, BRISK)
        yield log
        log.close()

    @pytest.fixture
    def twin(self, log: Log, tmp_path: Path) -> Iterator[Log]:
        """The same log as another process has it, where that can be."""
        if not self.shared:
            yield log
            return
        twin = self.open_twin(tmp_path, SystemClock(), BRISK)
        yield twin
        twin.close()

    # -- order, positions, groups ---------------------------------------------

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

    def test_groups_are_independent(self, log: Log, twin: Log) -> None:
        """Three at different speeds; each goes on exactly where it was, in hand and after it was away."""
        log.create(numbers())
        log.append([write(range(20))])
        slow, fast, idle = (log.reader(group, ["t"], "m") for group in ("slow", "fast", "idle"))
        begun = slow.read(5, 0)
        assert values(begun) == [0, 1, 2, 3, 4]
        slow.commit(through(begun), [])
        assert values(drain(fast, commit=True)) == list(range(20)), "a group goes on where another is"
        log.append([write(range(20, 25))])
        assert values(drain(fast)) == list(range(20, 25)), "a group goes on where another is"
        assert values(drain(slow)) == list(range(5, 25)), "a group goes on where another is"
        for reader in (slow, fast, idle):
            reader.close()
        left = {group: values(drain(twin.reader(group, ["t"], "m2"))) for group in ("slow", "fast", "idle", "new")}
        whole = list(range(25))
        assert left == {"slow": whole[5:], "fast": whole[20:], "idle": whole, "new": whole}, (
            "a group goes on where another is"
        )

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

    def test_a_reader_without_a_group_sees_everything_and_owns_nothing(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=2))
        log.append([write([1], partition=0), write([2], partition=1)])
        first, second = log.reader(None, ["t"], "a"), twin.reader(None, ["t"], "a")
        assert by_partition(drain(first)) == by_partition(drain(second)) == {0: [1], 1: [2]}
        with pytest.raises(LogError):
            first.commit([Advance("t", 0, 0)], [])

    def test_starting_at_the_latest_sees_only_what_comes_after_joining(self, log: Log) -> None:
        log.create(numbers())
        log.append([write([1])])
        alone, grouped = log.reader(None, ["t"], "m", start="latest"), log.reader("g", ["t"], "m", start="latest")
        log.append([write([2])])
        assert values(drain(alone)) == values(drain(grouped)) == [2], "what was there before is read"

    def test_a_group_that_started_at_the_latest_misses_nothing_while_it_is_away(self, log: Log) -> None:
        log.create(numbers())
        log.append([write([1])])
        log.reader("g", ["t"], "m", start="latest").close()
        log.append([write([2])])
        assert values(drain(log.reader("g", ["t"], "m", start="latest"))) == [2]

    # -- positions and outputs ------------------------------------------------

    def test_positions_survive_their_reader(self, log: Log, twin: Log) -> None:
        log.create(numbers())
        log.append([write(range(10))])
        reader = log.reader("g", ["t"], "m")
        (batch,) = reader.read(100, 0)
        reader.commit([Advance("t", 0, int(batch.positions[3]))], [])
        reader.close()
        assert values(drain(twin.reader("g", ["t"], "m2"))) == list(range(4, 10))

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

    # -- seeking --------------------------------------------------------------

    def test_seek_by_position_earliest_latest_and_committed(self, log: Log) -> None:
        log.create(numbers())
        spans = [log.append([write(range(n, n + 5))])[0] for n in (0, 5)]
        reader = log.reader("g", ["t"], "m")
        reader.commit([Advance("t", 0, spans[0].last)], [])
        drain(reader)
        for to, expected in (
            ("committed", range(5, 10)),
            ("earliest", range(10)),
            (spans[0].first + 2, range(2, 10)),
            (spans[1].first, range(5, 10)),
            ("latest", range(0)),
        ):
            reader.seek(Seek("t", 0, to))  # type: ignore[arg-type]  # a tuple of several kinds
            assert values(drain(reader)) == list(expected), f"a seek to {to} leads elsewhere"
        log.append([write([10])])
        assert values(drain(reader)) == [10]

    def test_a_seek_of_a_group_is_durable(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        log.append([write(range(5), partition=0), write(range(5, 9), partition=1)])
        reader = log.reader("g", ["t"], "m")
        drain(reader, commit=True)
        reader.seek(Seek("t", None, "earliest"))
        assert sorted(values(drain(again(log, reader)))) == list(range(9)), "the seek is forgotten"

    def test_seek_by_time(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers())
        marks = []
        for n in range(8):
            zone = timezone(timedelta(hours=n % 3))  # a zone that changes, as at the end of daylight saving
            marks.append(datetime.fromtimestamp(clock.now() / 1e6, zone))
            timed.append([write([n])])
            clock.advance(60)
        reader = timed.reader(None, ["t"], "m")
        for n in (5, 0, 7):
            reader.seek(Seek("t", 0, marks[n]))
            assert values(drain(reader)) == list(range(n, 8)), "a seek to a time leads elsewhere"
        reader.seek(Seek("t", 0, marks[2] + timedelta(seconds=1)))
        assert values(drain(reader)) == list(range(3, 8)), "a seek to a time leads elsewhere"
        reader.seek(Seek("t", 0, marks[7] + timedelta(days=1)))
        assert drain(reader) == []

    def test_a_paused_partition_waits_while_the_others_are_read(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        reader = log.reader("g", ["t"], "m")
        reader.seek(Seek("t", 0, "pause"))
        log.append([write([1], partition=0), write([2], partition=1)])
        assert values(drain(reader)) == [2]
        reader.seek(Seek("t", 0, "resume"))
        assert values(drain(reader)) == [1]

    def test_a_seek_that_makes_no_sense_is_refused(self, log: Log) -> None:
        log.create(numbers())
        log.create(numbers("other"))
        reader = log.reader("g", ["t"], "m")
        with pytest.raises(NotFound):
            reader.seek(Seek("other", 0, "earliest"))
        with pytest.raises(NotFound):
            reader.seek(Seek("t", 5, "earliest"))
        for wrong in (log_end(log) + 100, -1, datetime(2026, 1, 1)):
            with pytest.raises(LogError):
                reader.seek(Seek("t", 0, wrong))

    # -- members --------------------------------------------------------------

    def test_each_partition_has_one_owner_and_shares_are_even(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=6))
        readers = [(log if i % 2 else twin).reader("g", ["t"], f"m{i}") for i in range(3)]
        settle(readers, self.settling)
        log.append([write([p], partition=p) for p in range(6)])
        shares = [values(got) for got in drain_all(readers)]
        assert sorted(n for share in shares for n in share) == list(range(6))
        assert [len(share) for share in shares] == [2, 2, 2]

    def test_a_leaver_hands_over_at_once_and_its_uncommitted_rows_are_read_again(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=2))
        log.append([write([0, 1], partition=0), write([2, 3], partition=1)])
        first = log.reader("g", ["t"], "a")
        assert len(drain(first)) == 2
        first.close()
        first.close()
        assert sorted(values(drain(twin.reader("g", ["t"], "b"), wait=0.3))) == [0, 1, 2, 3]

    def test_rows_in_hand_keep_their_partition_until_they_are_committed(self, log: Log, twin: Log) -> None:
        if not self.gentle:
            pytest.skip("this backend takes partitions away with rows in hand, whose work is then dropped")
        log.create(numbers(partitions=2))
        log.append([write([0], partition=0), write([1], partition=1)])
        first = log.reader("g", ["t"], "a")
        batches = first.read(10, 0)
        second = twin.reader("g", ["t"], "b")
        for _ in range(3):
            first.read(10, 0)
            assert second.read(10, 0.05) == []
        first.commit(through(batches), [])
        settle([first, second], self.settling)
        log.append([write([2], partition=0), write([3], partition=1)])
        assert [len(values(got)) for got in drain_all([first, second])] == [1, 1]

    def test_a_silent_member_loses_its_partitions_and_is_fenced_when_it_wakes(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=2))
        log.create(numbers("out"))
        log.append([write([0], partition=0), write([1], partition=1)])
        zombie = twin.reader("g", ["t"], "zombie")
        held = until(lambda: zombie.read(10, 1), enough=2, within=10)
        assert sorted(values(held)) == [0, 1]
        self.silence(twin)
        heir = log.reader("g", ["t"], "heir")
        got = until(lambda: heir.read(10, 0.05), enough=2, within=10)
        assert sorted(values(got)) == [0, 1]
        heir.commit(through(got), [write([100], "out")])
        with pytest.raises(Fenced) as refused:
            zombie.commit(through(held), [write([666], "out")])
        assert refused.value.lost == {("t", 0), ("t", 1)}
        assert values(drain(log.reader(None, ["out"], "m"))) == [100]
        heir.close()
        log.append([write([2], partition=0), write([3], partition=1)])
        again = until(lambda: zombie.read(10, 0.05), enough=2, within=10)
        assert sorted(values(again)) == [2, 3], "once told, it is a member like any other"
        zombie.commit(through(again), [])

    @pytest.mark.parametrize("rows", [[666], [], None], ids=["rows", "no rows", "nothing"])
    def test_a_displaced_member_is_fenced_though_it_advances_nothing(self, log: Log, rows: list[int] | None) -> None:
        log.create(numbers(partitions=2))
        log.create(numbers("out"))
        outputs = [] if rows is None else [write(rows, "out")]
        reader = log.reader("g", ["t"], "m")
        drain(reader)
        reader.commit([], [write([1], "out")])
        log.reader("g", ["t"], "m")
        with pytest.raises(Fenced) as refused:
            reader.commit([], outputs)
        assert refused.value.lost == {("t", 0), ("t", 1)}
        with pytest.raises(LogError, match="names must differ"):  # told once, it has nothing any more
            reader.commit([], outputs)
        assert values(drain(log.reader(None, ["out"], "m"))) == [1]

    def test_a_silent_member_is_fenced_though_it_advances_nothing(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=2))
        log.create(numbers("out"))
        zombie = twin.reader("g", ["t"], "zombie")
        settle([zombie], self.settling)
        self.silence(twin)
        log.append([write([0], partition=0), write([1], partition=1)])
        heir = log.reader("g", ["t"], "heir")
        heir.commit(through(until(lambda: heir.read(10, 0.05), enough=2, within=30)), [write([100], "out")])
        with pytest.raises(Fenced) as refused:
            zombie.commit([], [write([666], "out")])
        assert refused.value.lost == {("t", 0), ("t", 1)}
        assert values(drain(log.reader(None, ["out"], "m"))) == [100]
        heir.close()
        log.append([write([2], partition=0), write([3], partition=1)])
        assert sorted(values(until(lambda: zombie.read(10, 0.05), enough=2, within=30))) == [2, 3]
        zombie.commit([], [write([101], "out")])

    def test_what_a_member_owns_is_told_with_the_groups_position(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=2))
        log.append([write(range(5), partition=0)])
        reader = log.reader("g", ["t"], "m")
        (batch,) = reader.read(10, 0)
        begun = reader.owned("t")
        assert {partition: had.through for partition, had in begun.items()} == {0: None, 1: None}
        at = int(batch.positions[1])
        reader.commit([Advance("t", 0, at)], [])
        assert reader.owned("t") == {0: OwnedPartition(begun[0].epoch, at), 1: begun[1]}, "the position was not kept up"
        assert reader.owned("u") == {}
        reader.close()
        heir = twin.reader("g", ["t"], "heir")
        assert values(heir.read(10, 0)) == [2, 3, 4]
        assert heir.owned("t")[0].through == at

    def test_a_partition_that_comes_back_has_another_epoch(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=2))
        reader = log.reader("g", ["t"], "m")
        settle([reader], self.settling)
        before = reader.owned("t")
        other = twin.reader("g", ["t"], "other")
        settle([reader, other], self.settling)
        ((kept, had),) = reader.owned("t").items()
        assert before[kept] == had and other.owned("t").keys() == {1 - kept}
        other.close()
        settle([reader], self.settling)
        after = reader.owned("t")
        assert after.keys() == before.keys() and after[kept] == had
        assert after[1 - kept].epoch != before[1 - kept].epoch, "it went, and nobody can tell"

    def test_rows_of_a_former_epoch_are_refused_though_the_partition_came_back(self, log: Log, twin: Log) -> None:
        log.create(numbers())
        log.append([write(range(10))])
        zombie = twin.reader("g", ["t"], "zombie")
        held = zombie.read(10, 1)
        self.silence(twin)
        heir = log.reader("g", ["t"], "heir")
        got = until(lambda: heir.read(5, 0.05), enough=5, within=10)
        heir.commit(through(got), [])
        heir.close()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and not zombie.read(10, 0.05):
            pass  # it comes back as an owner, and its old rows are still in hand
        with pytest.raises(Fenced):
            zombie.commit(through(held), [])
        assert values(drain(zombie, wait=0.5)) == list(range(5, 10))

    def test_a_fenced_commit_names_what_is_lost_and_the_rest_goes_on(self, log: Log) -> None:
        log.create(numbers(partitions=2))
        log.append([write([0], partition=0), write([1], partition=1)])
        one = log.reader("g", ["t"], "one")
        mine = {batch.partition: batch for batch in one.read(10, 0)}
        first = min(mine)
        one.commit(through([mine[first]]), [])
        two = log.reader("g", ["t"], "two")
        settle([one, two], self.settling)
        log.append([write([2], partition=0), write([3], partition=1)])
        (given,) = {batch.partition for batch in drain(two)}
        assert given == first or not self.gentle, "the one with rows in hand was given away"
        kept = 1 - given
        with pytest.raises(Fenced) as refused:
            one.commit(through([mine[given], mine[kept]]), [])
        assert refused.value.lost == {("t", given)}
        one.commit(through([mine[kept]]), [])

    def test_new_partitions_are_picked_up_by_who_already_reads(self, log: Log) -> None:
        log.create(numbers())
        reader, alone = log.reader("g", ["t"], "m"), log.reader(None, ["t"], "m")
        log.create(numbers(partitions=3), grow=True)
        log.append([write([p], partition=p) for p in range(3)])
        for each in (reader, alone):
            assert sorted(values(drain(each, wait=0.5))) == [0, 1, 2]

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

    # -- many at once ---------------------------------------------------------

    def test_many_threads_append_and_order_per_writer_holds(self, log: Log, twin: Log) -> None:
        log.create(TopicSpec("t", pa.schema([("who", pa.int64()), ("n", pa.int64())]), 2))
        log.create(numbers("n"))

        def publish(who: int) -> None:
            for n in range(0, 40, 4):
                rows = pa.record_batch({"who": pa.array([who] * 4), "n": pa.array(range(n, n + 4))})
                (log if who % 2 else twin).append([Write("t", who % 2, rows)])

        run([partial(publish, who) for who in range(8)])
        seen: dict[int, list[int]] = {}
        for batch in drain(log.reader("g", ["t"], "m")):
            for row in batch.rows.to_pylist():
                seen.setdefault(row["who"], []).append(row["n"])
        assert seen == {who: list(range(40)) for who in range(8)}

    def test_many_readers_pass_everything_on_exactly_once(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=4))
        log.create(numbers("out", partitions=4))
        log.append([write(range(p * 100, p * 100 + 100), partition=p) for p in range(4)])

        readers = [(log, twin)[member % 2].reader("g", ["t"], f"m{member}") for member in range(3)]
        pass_on(readers, lambda batches: [Write("out", b.partition, b.rows) for b in batches], enough=400)
        assert by_partition(drain(log.reader(None, ["out"], "m"))) == {
            p: list(range(p * 100, p * 100 + 100)) for p in range(4)
        }

    # -- topics and their types -----------------------------------------------

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

    # -- retention ------------------------------------------------------------

    def test_retention_by_age_removes_what_is_older_and_nothing_else(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers(retain_us=3_600_000_000))
        timed.create(numbers("kept"))
        timed.append([write([0]), write([0], "kept")])
        clock.advance(3_000)
        timed.append([write([1])])
        clock.advance(599)
        timed.append([write([2])])
        assert values(drain(timed.reader(None, ["t"], "m"))) == [0, 1, 2], "it is removed too early"
        clock.advance(2)
        timed.append([write([3])])
        assert values(drain(timed.reader(None, ["t"], "m"))) == [1, 2, 3], "what is older stays"
        assert values(drain(timed.reader(None, ["kept"], "m"))) == [0]

    def test_positions_go_on_after_everything_expired(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers(retain_us=1_000_000))
        timed.create(numbers("other"))
        (before,) = timed.append([write(range(5))])
        clock.advance(10)
        timed.append([write([0], "other")])
        assert drain(timed.reader(None, ["t"], "m")) == []
        (after,) = timed.append([write([5])])
        assert after.first > before.last

    def test_retention_by_size_keeps_the_newest(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers(partitions=2, retain_bytes=40_000))
        for n in range(100):
            clock.advance(2)
            timed.append([write([n] * 200, partition=n % 2)])
        left = sorted(set(values(drain(timed.reader(None, ["t"], "m")))))
        assert left == list(range(left[0], 100)) and len(left) > 5, "what is newer is removed"
        assert len(left) < 40, "what is older stays"

    def test_raising_retention_brings_nothing_back_and_lowering_it_counts(self, timed: Log, clock: ManualClock) -> None:
        def left(hours: int, n: int) -> list[int]:
            timed.create(numbers(retain_us=hours * 3_600_000_000))
            clock.advance(2)
            timed.append([write([n])])
            return values(drain(timed.reader(None, ["t"], "m")))

        assert left(2, 0) == [0]
        clock.advance(5_400)
        assert left(2, 1) == [0, 1]
        assert left(1, 2) == [1, 2]
        assert left(9, 3) == [1, 2, 3]

    def test_a_group_that_retention_overtook_is_told_once_and_goes_on(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers(retain_us=60_000_000))
        reader = timed.reader("g", ["t"], "m")
        timed.append([write(range(10))])
        batches = reader.read(4, 0)
        reader.commit(through(batches), [])
        clock.advance(120)
        (span,) = timed.append([write([99])])
        with pytest.raises(Overtaken) as told:
            drain(reader)
        assert (told.value.topic, told.value.partition, told.value.earliest) == ("t", 0, span.first)
        assert values(drain(reader, commit=True)) == [99]

    @pytest.mark.parametrize("anew", [False, True])
    def test_a_group_that_committed_nothing_is_told_too(self, timed: Log, clock: ManualClock, anew: bool) -> None:
        """``anew``: its first member has gone meanwhile, and another one comes."""
        timed.create(numbers(retain_us=60_000_000))
        reader = timed.reader("g", ["t"], "m")
        timed.append([write(range(10))])
        assert values(reader.read(4, 0)) == [0, 1, 2, 3]
        if anew:
            reader.close()
        clock.advance(120)
        (span,) = timed.append([write([99])])
        if anew:
            reader = timed.reader("g", ["t"], "heir")
        else:
            reader.seek(Seek("t", None, "committed"))
        with pytest.raises(Overtaken) as told:
            drain(reader)
        assert (told.value.topic, told.value.partition, told.value.earliest) == ("t", 0, span.first)
        assert values(drain(reader, commit=True)) == [99]

    def test_a_group_that_begins_after_events_went_has_missed_none(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers(retain_us=60_000_000))
        timed.append([write(range(10))])
        clock.advance(120)
        timed.append([write([99])])
        assert values(drain(timed.reader("g", ["t"], "m"), commit=True)) == [99]

    def test_a_clock_that_was_ahead_for_a_moment_leaves_no_mark(self, timed: Log, clock: ManualClock) -> None:
        timed.create(numbers(retain_us=60_000_000))
        before = clock.now()
        clock.jump(10 * 365 * 86_400)
        timed.append([write([1])])
        clock.jump(-10 * 365 * 86_400)
        timed.append([write([2])])
        batches = drain(timed.reader(None, ["t"], "m"))
        assert all(before <= t <= clock.now() for batch in batches for t in batch.appended.tolist())
        clock.advance(120)
        timed.append([write([3])])
        assert values(drain(timed.reader(None, ["t"], "m"))) == [3], "retention removes nothing any more"

    @pytest.mark.parametrize("jump", JUMPS)
    def test_a_jump_of_the_wall_clock_expires_nothing_early(self, timed: Log, clock: ManualClock, jump: float) -> None:
        timed.create(numbers(retain_us=3_600_000_000))

        def kept(last: int, after: float) -> list[Batch]:
            clock.advance(after)
            timed.append([write([last])])
            return drain(timed.reader(None, ["t"], "m"))

        for n in range(3):
            kept(n, 60)
        clock.jump(jump)
        for n, after in ((3, 0), (4, 60), (5, 60)):
            kept(n, after)
        assert values(kept(6, 3_359.5)) == list(range(7)), "the first expired half a second early"
        clock.jump(-jump)
        got = kept(7, 0)
        assert values(got) == list(range(8)), "expired early"
        times = [t for b in got for t in b.appended.tolist()]
        assert times == sorted(times), "append time went back"
        left = values(kept(8, 240))
        assert left[0] in (3, 4, 5), "those of before the jump have expired; the last of during it, not yet"

    # -- how far topics and groups have come ----------------------------------

    def test_the_ends_of_a_topic_are_behind_its_last_events(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=3))
        assert looked(twin).ends("t") == {0: 0, 1: 0, 2: 0}
        last = {span.partition: span.last for span in log.append([write(range(5)), write(range(2), partition=2)])}
        drain(log.reader(None, ["t"], "m"))  # what is acknowledged may come into sight a moment later
        for seen in (looked(log), looked(twin)):
            ends = seen.ends("t")
            assert ends == {state.partition: state.end for state in seen.partitions("t")}
            assert ends[1] == 0 and all(ends[p] > last[p] for p in last)
        with pytest.raises(NotFound):
            looked(log).ends("absent")

    def test_the_positions_of_groups_are_those_that_were_committed(self, log: Log, twin: Log) -> None:
        log.create(numbers(partitions=3))
        log.create(numbers("u"))
        log.append([write(range(5)), write(range(3), partition=2)])
        assert looked(twin).positions([("g", "t"), ("absent", "t")]) == {}
        reader = log.reader("g", ["t"], "m")
        taken = reader.read(100, 0)
        first = {b.partition: int(b.positions[1]) for b in taken}  # inside of what was stored at once
        reader.commit([Advance("t", p, position) for p, position in first.items()], [])
        expected = {("g", "t", partition): position for partition, position in first.items()}
        for seen in (looked(log), looked(twin)):
            becomes(partial(seen.positions, [("absent", "t"), ("g", "t")]), expected)
            assert expected == {
                (s.group, s.topic, s.partition): s.through for s in seen.groups() if s.through is not None
            }
            assert seen.positions([("absent", "t")]) == seen.positions([("g", "u")]) == seen.positions([]) == {}
        with pytest.raises(NotFound):
            looked(log).positions([("g", "absent")])

    # -- trouble --------------------------------------------------------------

    def test_what_was_acknowledged_is_there_after_opening_again(self, tmp_path: Path) -> None:
        if not self.survives:
            pytest.skip("nothing survives this backend's process")
        log = self.open(tmp_path, SystemClock(), BRISK)
        log.create(numbers())
        log.append([write(range(10))])
        reader = log.reader("g", ["t"], "m")
        reader.commit(through(reader.read(4, 0)), [])
        log.close()
        log = self.open(tmp_path, SystemClock(), BRISK)
        assert values(drain(log.reader("g", ["t"], "m"))) == list(range(4, 10))
        (span,) = log.append([write([10])])
        assert span.first >= 10
        log.close()

    def test_undecodable_rows_come_as_rejected_in_their_place(self, log: Log) -> None:
        log.create(numbers())
        log.append([write([0, 1])])
        at = self.plant(log, "t", 0)
        log.append([write([2])])
        reader = log.reader("g", ["t"], "m")
        got = drain(reader)
        assert values(got) == [0, 1, 2]
        assert [r.position for b in got for r in b.rejected] == [at]
        reader.commit(through(got), [])
        assert drain(again(log, reader)) == []

    def test_a_closed_log_refuses_and_does_not_hang(self, log: Log) -> None:
        log.create(numbers())
        reader = log.reader("g", ["t"], "m")
        reader.close()
        log.close()
        for act in (lambda: log.append([write([1])]), lambda: reader.read(1, 5), lambda: log.create(numbers("u"))):
            with pytest.raises(PenstockError):
                act()
        reader.close()
        log.close()


# -- the words the tests are written in ---------------------------------------


def numbers(name: str = "t", partitions: int = 1, **limits: Any) -> TopicSpec:
    return TopicSpec(name, NUMBERS, partitions, **limits)


def write(ns: Sequence[int], topic: str = "t", partition: int = 0, origin: Lineage | None = None) -> Write:
    return Write(topic, partition, pa.record_batch({"n": pa.array(list(ns), pa.int64())}), origin)


def of_domain(ns: Sequence[int], topics: Sequence[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(list(ns), pa.int64()), "_topic": pa.array(topics, pa.string())})


def texts_of(schema: pa.Schema, sizes: Sequence[int]) -> pa.RecordBatch:
    """Rows with a text of so many characters each."""
    columns = [pa.array(range(len(sizes)), pa.int64()), pa.array(["x" * size for size in sizes])]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def values(batches: Sequence[Batch]) -> list[int]:
    return [n for batch in batches for n in batch.rows.column("n").to_pylist()]


def by_partition(batches: Sequence[Batch]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for batch in batches:
        found.setdefault(batch.partition, []).extend(values([batch]))
    return found


def through(batches: Sequence[Batch]) -> list[Advance]:
    ends: dict[tuple[str, int], int] = {}
    for batch in batches:
        ends[batch.topic, batch.partition] = max(batch.through, ends.get((batch.topic, batch.partition), -1))
    return [Advance(*place, end) for place, end in ends.items()]


def drain(reader: Reader, *, commit: bool = False, wait: float = 0) -> list[Batch]:
    """Read until nothing comes; ``wait`` seconds of silence where ownership may still be on its way."""
    got: list[Batch] = []
    while batches := reader.read(1_000, wait):
        got += batches
        if commit:
            reader.commit(through(batches), [])
    return got


def drain_all(readers: Sequence[Reader], rounds: int = 10) -> list[list[Batch]]:
    """What each gets, taking turns, so that none looks silent to the others."""
    got: list[list[Batch]] = [[] for _ in readers]
    for _ in range(rounds):
        for mine, reader in zip(got, readers, strict=True):
            mine += reader.read(1_000, 0.02)
    return got


def until(read: Callable[[], Sequence[Batch]], *, enough: int, within: float) -> list[Batch]:
    got: list[Batch] = []
    deadline = time.monotonic() + within
    while sum(map(len, got)) < enough:
        assert time.monotonic() < deadline, f"only {sum(map(len, got))} rows after {within} s"
        got += read()
    return got


def pass_on(readers: Sequence[Reader], outputs: Callable[[Sequence[Batch]], Sequence[Write]], *, enough: int) -> None:
    """All members of a group at once, each in its thread, until ``enough`` different numbers were passed on."""
    passed: set[int] = set()
    deadline = time.monotonic() + 45

    def member(reader: Reader) -> None:
        while len(passed) < enough:
            assert time.monotonic() < deadline, f"only {len(passed)} of {enough} were passed on"
            batches = reader.read(7, 0.03)
            try:
                reader.commit(through(batches), outputs(batches))
            except Fenced:
                continue
            passed.update(values(batches))
        reader.close()

    run([partial(member, reader) for reader in readers])


def settle(readers: Sequence[Reader], seconds: float, rounds: int = 6) -> None:
    """Let members give back and claim; nothing may be there to read."""
    deadline = time.monotonic() + seconds
    while rounds > 0 or time.monotonic() < deadline:
        rounds -= 1
        for reader in readers:
            reader.read(1, 0.02)


def again(log: Log, reader: Reader) -> Reader:
    """The group once more, after its reader left."""
    reader.close()
    return log.reader("g", ["t"], "again")


class Looked(LogInspection, Offsets, Protocol): ...


def looked(log: Log) -> Looked:
    return cast(Looked, log)


def becomes(look: Callable[[], object], expected: object, within: float = 10.0) -> None:
    """What was committed may come into sight a moment later."""
    limit = time.monotonic() + within
    while (seen := look()) != expected:
        assert time.monotonic() < limit, f"{seen}, not {expected}"
        time.sleep(0.02)


def log_end(log: Log) -> int:
    spans: Sequence[AppendResult] = log.append([write([])])
    return spans[0].first


def run(tasks: Sequence[Callable[[], None]]) -> None:
    """All at once, each in its own thread; the first error is raised here."""
    errors: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def every_kind() -> pa.RecordBatch:
    moment = datetime(2026, 11, 20, 12, 30, 15, 123456, tzinfo=UTC)
    return pa.record_batch(
        {
            "bool": pa.array([True, None, False]),
            "float": pa.array([1.5, None, -0.0]),
            "text": pa.array(["", None, "žluťoučký 🐎"]),
            "bytes": pa.array([b"\x00\xff", None, b""]),
            "time": pa.array([moment, None, moment], pa.timestamp("us", tz="UTC")),
            "list": pa.array([[1, 2], None, []], pa.list_(pa.int64())),
            "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
            "uint": pa.array([2**64 - 1, None, 0], pa.uint64()),
        }
    )
