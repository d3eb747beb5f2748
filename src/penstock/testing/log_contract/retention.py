"""What is removed, when, and who is told."""

from __future__ import annotations

import pytest

from ...batch import Batch
from ...clock import ManualClock
from ...errors import Overtaken
from ...log.interface import Log, Seek
from .opening import OpenedLogs
from .words import JUMPS, drain, numbers, through, values, write


class RetentionContract(OpenedLogs):
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
