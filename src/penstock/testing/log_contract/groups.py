"""Where a group is: what moves its position, and what does not."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial

import pytest

from ...clock import ManualClock
from ...errors import LogError, NotFound
from ...log.interface import Advance, Log, Seek
from .opening import OpenedLogs
from .words import again, becomes, by_partition, drain, log_end, looked, numbers, through, values, write


class GroupsContract(OpenedLogs):
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

    def test_positions_survive_their_reader(self, log: Log, twin: Log) -> None:
        log.create(numbers())
        log.append([write(range(10))])
        reader = log.reader("g", ["t"], "m")
        (batch,) = reader.read(100, 0)
        reader.commit([Advance("t", 0, int(batch.positions[3]))], [])
        reader.close()
        assert values(drain(twin.reader("g", ["t"], "m2"))) == list(range(4, 10))

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
