"""Who owns which partition, and that nobody else commits for it."""

from __future__ import annotations

import time
from functools import partial

import pyarrow as pa
import pytest

from ...batch import TopicSpec, Write
from ...errors import Fenced, LogError
from ...log.interface import Advance, Log, OwnedPartition
from .opening import OpenedLogs
from .words import by_partition, drain, drain_all, numbers, pass_on, run, settle, through, until, values, write


class MembersContract(OpenedLogs):
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
