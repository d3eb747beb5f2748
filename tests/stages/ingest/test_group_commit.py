"""Group commit: no answer before the append returned, a request whole or not at all, and a bad one fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import AppendResult, TopicSpec, Write
from penstock.clock import ManualClock, SystemClock
from penstock.errors import Busy, InvalidEvent, LogFull, LogRefused, LogUnreachable, PenstockError, TooLarge
from penstock.log.memory import MemoryLog
from penstock.settings import Settings
from penstock.stages.commit_size import CommitSize
from penstock.stages.ingest import group_commit
from penstock.stages.ingest.group_commit import Ingest

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("k", pa.string(), nullable=False)])
TOPIC = TopicSpec("t", SCHEMA, partitions=4, key="k")
ONCE = TopicSpec("once", SCHEMA, partitions=4, key="k", dedupe_us=80_000_000)
UNKEYED = TopicSpec("unkeyed", SCHEMA, partitions=4)
TOPICS = (TOPIC, ONCE, UNKEYED)


class Gate(MemoryLog):
    """A log whose appends wait for a signal, and may fail then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.open = threading.Event()
        self.began = threading.Event()
        self.failure: BaseException | None = None
        self.appends: list[int] = []

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        self.began.set()
        assert self.open.wait(10)
        if self.failure is not None:
            raise self.failure
        self.appends.append(sum(w.rows.num_rows for w in writes))
        return super().append(writes)


def gate(**options: Any) -> Gate:
    log = Gate(**options)
    for spec in TOPICS:
        log.create(spec)
    return log


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def rows(ingest: Ingest, numbers: Sequence[int], topic: str = "t") -> list[Any]:
    text = "[" + ",".join(f'{{"n": {n}, "k": "k{n % 5}"}}' for n in numbers) + "]"
    return ingest.topics[topic].decoder.decode(text.encode())


def stored(log: MemoryLog, topic: str = "t") -> dict[tuple[int, int], int]:
    reader = log.reader(None, [topic], "test")
    found: dict[tuple[int, int], int] = {}
    while batches := reader.read(100_000, 0):
        for b in batches:
            found |= {(b.partition, p): n for p, n in zip(b.positions.tolist(), b.rows["n"].to_pylist(), strict=True)}
    return found


def made(log: MemoryLog, settings: Settings | None = None, fatal: Callable[[], None] = lambda: None) -> Ingest:
    return Ingest(log, TOPICS, settings or Settings(), SystemClock(), fatal)


async def nobody_is_answered_before_the_append_returns(kind: type[Ingest]) -> None:
    log = gate()
    ingest = kind(log, TOPICS, Settings(), SystemClock(), lambda: None)
    waiting = asyncio.create_task(ingest.store("t", rows(ingest, [1])))
    await asyncio.to_thread(log.began.wait, 5)
    for _ in range(20):
        await asyncio.sleep(0)
    early = waiting.done()
    log.open.set()
    await waiting
    await ingest.close()
    assert not early, "answered before its rows were on disk"


class AcknowledgesFirst(Ingest):
    """The mutant: everybody is answered when the group is handed over, before it is on disk."""

    def _gather(self, waiting: Any) -> Any:
        group = super()._gather(waiting)
        if group is not None:
            spans = [AppendResult(w.topic, w.partition, 0, w.rows.num_rows - 1, w.rows.num_rows) for w in group.writes]
            start = 0
            for piece in group.pieces:
                stop = start + len(piece.writes)
                self.topics[piece.topic].answer(piece, spans[start:stop], 0)
                start = stop
        return group


def test_nobody_is_answered_before_the_append_returns() -> None:
    run(nobody_is_answered_before_the_append_returns(Ingest))


def test_the_mutant_that_acknowledges_before_the_disk_is_found() -> None:
    with pytest.raises(AssertionError, match="before its rows were on disk"):
        run(nobody_is_answered_before_the_append_returns(AcknowledgesFirst))


def test_what_waits_while_a_commit_runs_is_the_next_group() -> None:
    async def go() -> None:
        log = gate()
        ingest = made(log)
        first = asyncio.create_task(ingest.store("t", rows(ingest, [0])))
        await asyncio.to_thread(log.began.wait, 5)
        others = [asyncio.create_task(ingest.store("t", rows(ingest, [n]))) for n in range(1, 50)]
        await asyncio.sleep(0.01)
        log.open.set()
        receipts = await asyncio.gather(first, *others)
        assert log.appends == [1, 49]
        at = stored(log)
        assert [at[int(r.partitions[0]), int(r.positions[0])] for r in receipts] == list(range(50))
        await ingest.close()

    run(go())


@pytest.mark.parametrize("gap", [0, 7])
@pytest.mark.parametrize("sizes", [[1, 1, 3, 0, 255, 256, 2_500, 1], [1_000, 1_000], [5_000]])
def test_receipts_say_where_each_row_is(gap: int, sizes: list[int]) -> None:
    async def go() -> None:
        log = gate(gap=gap)
        log.open.set()
        ingest = made(log)
        bounds = np.cumsum([0, *sizes]).tolist()
        asked = [range(a, b) for a, b in pairwise(bounds)]
        batches = [rows(ingest, numbers) for numbers in asked]
        batches[-1] = ingest.topics["t"].decoder.columns(batches[-1])  # one of them as columns
        receipts = await asyncio.gather(*(ingest.store("t", batch) for batch in batches))
        at = stored(log)
        for numbers, receipt in zip(asked, receipts, strict=True):
            places = zip(receipt.partitions.tolist(), receipt.positions.tolist(), strict=True)
            assert [at[place] for place in places] == list(numbers)
        assert len(at) == sum(sizes)
        await ingest.close()

    run(go())


def test_rows_without_a_key_go_round_by_batch() -> None:
    async def go() -> None:
        log = gate()
        log.open.set()
        ingest = made(log)
        used = set()
        for n in range(8):
            receipt = await ingest.store("unkeyed", rows(ingest, [n, n, n], "unkeyed"))
            assert len(set(receipt.partitions.tolist())) == 1
            used |= set(receipt.partitions.tolist())
        assert used == {0, 1, 2, 3}
        await ingest.close()

    run(go())


def test_a_publishers_key_comes_first() -> None:
    async def go() -> None:
        log = gate()
        log.open.set()
        ingest = made(log)
        same = [await ingest.store("t", rows(ingest, [n]), {"_key": ["mine"]}) for n in range(5)]
        assert len({int(r.partitions[0]) for r in same}) == 1
        mixed = await asyncio.gather(
            ingest.store("t", rows(ingest, [1])), ingest.store("t", rows(ingest, [2]), {"_key": ["mine"]})
        )
        assert mixed[1].partitions[0] == same[0].partitions[0]
        await ingest.close()

    run(go())


def test_a_request_that_cannot_become_columns_fails_alone() -> None:
    async def go() -> None:
        log = gate()
        ingest = made(log)
        columns = ingest.topics["t"].decoder.columns

        def picky(rows: Sequence[Any]) -> pa.RecordBatch:
            if any(row.f0 == 13 for row in rows):
                raise InvalidEvent("unlucky")
            return columns(rows)

        ingest.topics["t"].decoder.columns = picky  # type: ignore[method-assign]
        log.open.set()
        said = await asyncio.gather(
            *(ingest.store("t", rows(ingest, [n, n + 100])) for n in range(20)), return_exceptions=True
        )
        assert [i for i, s in enumerate(said) if isinstance(s, InvalidEvent)] == [13]
        assert sorted(stored(log).values()) == sorted(x for n in range(20) if n != 13 for x in (n, n + 100))
        await ingest.close()

    run(go())


Asked = tuple[str, list[tuple[int, int]]]  # a topic, and the numbers of a request with the lengths of their keys


async def all_in_one_group(log: Gate, asked: Sequence[Asked]) -> tuple[list[Any], list[bool]]:
    """What each request is told, and whether the process had to end."""
    ended: list[bool] = []
    ingest = made(log, fatal=lambda: ended.append(True))
    tasks = [asyncio.create_task(ingest.store("t", rows(ingest, [0])))]
    await asyncio.to_thread(log.began.wait, 5)  # whoever comes from now on is in the next group
    for topic, numbers in asked:
        text = ",".join(f'{{"n": {n}, "k": "{"k" * length}"}}' for n, length in numbers)
        given = ingest.topics[topic].decoder.decode(f"[{text}]".encode())
        tasks.append(asyncio.create_task(ingest.store(topic, given)))
        await asyncio.sleep(0)
    log.open.set()
    await asyncio.wait(tasks, timeout=2)
    assert all(task.done() for task in tasks) or ended, "somebody is not answered"
    if not ended:
        await ingest.close()
    return [task.exception() or task.result() if task.done() else task.cancel() for task in tasks], ended


def test_rows_too_large_for_the_log_are_refused_and_no_request_beside_them() -> None:
    async def go() -> None:
        log = gate(limit=1_000)
        asked: list[Asked] = [
            ("t", [(1, 1), (2, 1)]),
            ("t", [(3, 1), (4, 2_000)]),
            ("once", [(5, 1)]),
            ("t", [(6, 1)]),
            ("t", [(7, 3_000), (8, 1), (9, 2_000)]),
            ("t", [(10, 1)]),
        ]
        (_, *said), ended = await all_in_one_group(log, asked)
        assert not ended, "the process ends"
        refused = [n for n, answer in enumerate(said) if isinstance(answer, TooLarge)]
        assert refused == [1, 4]
        assert str(said[1]).startswith("row 1: ") and str(said[4]).startswith("row 0: ")
        same_key = [n for _, n in sorted(stored(log).items()) if n]
        assert same_key == [1, 2, 6, 10] and list(stored(log, "once").values()) == [5]
        for answer, n in ((said[0], 1), (said[3], 6), (said[5], 10)):
            assert stored(log)[int(answer.partitions[0]), int(answer.positions[0])] == n

    run(go())


class Refusing(Gate):
    """A log whose brokers refuse one topic."""

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        assert self.open.wait(10)
        if any(write.topic == "once" for write in writes):
            raise LogRefused("once: no right")
        return super().append(writes)


async def one_topic_is_refused() -> None:
    log = Refusing()
    for spec in TOPICS:
        log.create(spec)
    log.began.set()
    (_, *said), ended = await all_in_one_group(log, [("t", [(1, 1)]), ("once", [(2, 1)]), ("unkeyed", [(3, 1)])])
    assert not ended, "the process ends"
    assert [isinstance(answer, LogRefused) for answer in said] == [False, True, False], "others were refused too"
    assert [*stored(log).values(), *stored(log, "unkeyed").values()] == [0, 1, 3] and not stored(log, "once")


def test_a_topic_that_is_refused_is_refused_alone() -> None:
    run(one_topic_is_refused())


def test_the_mutants_that_end_or_refuse_all_for_one_topic_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "OURS", ())
    with pytest.raises(AssertionError, match="others were refused too"):
        run(one_topic_is_refused())
    monkeypatch.setattr(group_commit, "TOLD", (LogFull,))
    with pytest.raises(AssertionError, match="the process ends"):
        run(one_topic_is_refused())


async def a_full_disk_refuses_and_the_next_group_works() -> None:
    log = gate()
    log.failure = LogFull("no space")
    log.open.set()
    ended: list[bool] = []
    ingest = made(log, fatal=lambda: ended.append(True))
    waiting = [asyncio.create_task(ingest.store("t", rows(ingest, [n]))) for n in range(5)]
    await asyncio.wait(waiting, timeout=1)
    assert not ended, "a full disk ends the process"
    assert all(isinstance(task.exception(), LogFull) for task in waiting if task.done())
    assert all(task.done() for task in waiting)
    log.failure = None
    await ingest.store("t", rows(ingest, [1]))
    assert list(stored(log).values()) == [1]
    await ingest.close()


async def who_waits_behind_a_log_that_is_away_is_told_with_the_others() -> None:
    log = gate()
    ingest = made(log)
    first = asyncio.create_task(ingest.store("t", rows(ingest, [0])))
    await asyncio.to_thread(log.began.wait, 5)
    behind = [asyncio.create_task(ingest.store("t", rows(ingest, [n]))) for n in range(1, 50)]
    await asyncio.sleep(0.01)
    log.failure, log.began = LogUnreachable("away"), threading.Event()
    log.open.set()
    told = await asyncio.gather(first, *behind, return_exceptions=True)
    assert all(isinstance(answer, LogUnreachable) for answer in told)
    assert not log.began.is_set(), "they waited for another append that takes as long"
    log.failure = None
    await ingest.store("t", rows(ingest, [99]))
    assert list(stored(log).values()) == [99]
    await ingest.close()


def test_who_waits_behind_a_log_that_is_away_is_told_with_the_others() -> None:
    run(who_waits_behind_a_log_that_is_away_is_told_with_the_others())


class Throttled(MemoryLog):
    """Stores a hundred rows a second, and gives up what takes it ten seconds."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.appends: list[dict[str, int]] = []

    def append(self, writes: Sequence[Write]) -> Sequence[AppendResult]:
        seconds = sum(w.rows.num_rows for w in writes) / 100
        self.clock.advance(min(seconds, 10.0))
        if seconds >= 10.0:
            raise LogUnreachable("not acknowledged in time")
        self.appends.append(dict[str, int]())
        for write in writes:
            self.appends[-1][write.topic] = self.appends[-1].get(write.topic, 0) + write.rows.num_rows
        return super().append(writes)


async def more_than_the_log_stores_in_time_is_stored_in_parts() -> Throttled:
    """Publishers of two topics with 6,000 rows at once, in requests of 50, who send again what was refused."""
    clock = ManualClock()
    log = Throttled(clock)
    for spec in TOPICS:
        log.create(spec)
    ingest = Ingest(log, TOPICS, Settings(), clock, lambda: None)

    async def publish(topic: str, first: int) -> None:
        for _ in range(10):
            try:
                await ingest.store(topic, rows(ingest, range(first, first + 50), topic))
                return
            except LogUnreachable:
                await asyncio.sleep(0)
        raise AssertionError("refused ten times")

    await asyncio.gather(*(publish(topic, first) for topic in ("t", "unkeyed") for first in range(0, 3_000, 50)))
    await ingest.close()
    for topic in ("t", "unkeyed"):
        assert sorted(stored(log, topic).values()) == list(range(3_000))
    return log


def test_more_than_the_log_stores_in_time_is_stored_in_parts() -> None:
    log = asyncio.run(asyncio.wait_for(more_than_the_log_stores_in_time_is_stored_in_parts(), 20))
    assert len({topic for group in log.appends[:2] for topic in group}) == 2, "a topic waits for all of another"


def test_the_mutant_that_tries_as_many_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommitSize, "failed", lambda *_: None)
    with pytest.raises(AssertionError, match="ten times"):
        asyncio.run(asyncio.wait_for(more_than_the_log_stores_in_time_is_stored_in_parts(), 20))


async def an_unknown_end_answers_nobody(failure: BaseException) -> None:
    log = gate()
    log.failure = failure
    log.open.set()
    ended = threading.Event()
    ingest = made(log, fatal=ended.set)
    waiting = [asyncio.create_task(ingest.store("t", rows(ingest, [n]))) for n in range(3)]
    if not await asyncio.to_thread(ended.wait, 1):
        await asyncio.gather(*waiting, return_exceptions=True)  # told here: else by whichever test sees them collected
        raise AssertionError("the process goes on")
    await asyncio.sleep(0.01)
    log.failure = None
    later = asyncio.create_task(ingest.store("t", rows(ingest, [9])))
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in (*waiting, later))
    await asyncio.wait_for(ingest.close(), 5)
    for task in (*waiting, later):
        task.cancel()
    assert stored(log) == {}


def test_a_full_disk_refuses_the_group_and_the_next_one_works() -> None:
    run(a_full_disk_refuses_and_the_next_group_works())


@pytest.mark.parametrize("failure", [OSError("fsync"), PenstockError("unknown"), MemoryError()])
def test_after_an_append_of_unknown_end_nobody_is_answered_and_the_process_ends(failure: BaseException) -> None:
    run(an_unknown_end_answers_nobody(failure))


def test_the_mutant_that_goes_on_after_an_unknown_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "TOLD", (Exception,))
    with pytest.raises(AssertionError, match="the process goes on"):
        run(an_unknown_end_answers_nobody(OSError("fsync")))


def test_the_mutant_that_ends_for_a_full_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "TOLD", ())
    with pytest.raises(AssertionError, match="a full disk ends the process"):
        run(a_full_disk_refuses_and_the_next_group_works())


def test_room_is_bounded_and_given_back() -> None:
    async def go() -> None:
        log = gate()
        log.open.set()
        ingest = made(log, Settings(queue_limit=100))
        ingest.hold(60)
        with pytest.raises(Busy):
            ingest.hold(41)
        ingest.hold(40)
        ingest.release(100)
        ingest.hold(100)
        await ingest.close()

    run(go())


def test_closing_answers_all_who_wait() -> None:
    async def go() -> None:
        log = gate()
        ingest = made(log)
        waiting = [asyncio.create_task(ingest.store("t", rows(ingest, [n]))) for n in range(3)]
        await asyncio.to_thread(log.began.wait, 5)
        closing = asyncio.create_task(ingest.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        log.open.set()
        await closing
        assert all(task.done() for task in waiting)
        assert len(stored(log)) == 3

    run(go())


def named(ids: Sequence[str | None], source: str = "/s") -> dict[str, list[Any]]:
    return {"_id": list(ids), "_source": [source] * len(ids)}


class Once:
    """A log and an ingest with a hand-moved clock; ``store`` gives places."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        for spec in TOPICS:
            self.log.create(spec)
        self.ingest = self.opened()

    def opened(self) -> Ingest:
        return Ingest(self.log, TOPICS, Settings(), self.clock, lambda: None)

    async def store(self, ids: Sequence[str | None], source: str = "/s") -> list[tuple[int, int]]:
        decoded = rows(self.ingest, range(len(ids)), "once")
        receipt = await self.ingest.store("once", decoded, named(ids, source))
        return list(zip(receipt.partitions.tolist(), receipt.positions.tolist(), strict=True))


def with_once(work: Callable[[Once], Awaitable[None]]) -> None:
    async def go() -> None:
        once = Once()
        await work(once)
        await once.ingest.close()

    run(go())


def test_a_repeat_is_acknowledged_with_the_first_ones_place() -> None:
    async def work(once: Once) -> None:
        first = await once.store(["a", "b", None])
        again = await once.store(["b", "c", "a", "c"])
        assert (again[0], again[2]) == (first[1], first[0])
        assert again[1] == again[3]
        assert len(stored(once.log, "once")) == 4
        at_once = await asyncio.gather(once.store(["x", "y"]), once.store(["y", "x"]))
        assert at_once[0] == at_once[1][::-1]
        assert (await once.store(["a"], "/other"))[0] != first[0]
        assert len(await once.store([None, None])) == 2
        assert len(stored(once.log, "once")) == 9

    with_once(work)


def test_ids_are_forgotten_after_the_window_and_not_before() -> None:
    async def work(once: Once) -> None:
        (first,) = await once.store(["a"])
        once.clock.advance(79)
        assert await once.store(["a"]) == [first]
        once.clock.advance(12)
        assert await once.store(["a"]) != [first]

    with_once(work)


def test_ids_survive_a_restart() -> None:
    async def work(once: Once) -> None:
        (first,) = await once.store(["a"])
        await once.ingest.close()
        once.clock.advance(10)
        once.ingest = once.opened()
        assert await once.store(["a"]) == [first]

    with_once(work)


def test_an_id_of_a_refused_group_may_come_again() -> None:
    async def go() -> None:
        log = gate()
        log.failure = LogFull("no space")
        log.open.set()
        ingest = made(log)
        with pytest.raises(LogFull):
            await ingest.store("once", rows(ingest, [1], "once"), named(["a"]))
        log.failure = None
        await ingest.store("once", rows(ingest, [1], "once"), named(["a"]))
        assert len(stored(log, "once")) == 1
        await ingest.close()

    run(go())


def test_batches_are_whole_requests(many: int = 30) -> None:
    """All rows of a request are in one append, so that a crash between two cannot halve it."""

    async def go() -> None:
        log = gate()
        log.open.set()
        ingest = made(log)
        sizes = [(i * 37) % 300 for i in range(many)]
        await asyncio.gather(*(ingest.store("t", rows(ingest, range(n))) for n in sizes))
        sums = np.cumsum([n for n in sizes if n])
        assert set(np.cumsum(log.appends).tolist()) <= set(sums.tolist())
        await ingest.close()

    run(go())


def test_positions_of_a_span_with_gaps_must_be_listed() -> None:
    assert AppendResult("t", 0, 4, 6, 3).positions.tolist() == [4, 5, 6]
    assert AppendResult("t", 0, 4, 9, 2, np.array([4, 9])).positions.tolist() == [4, 9]
    assert AppendResult("t", 0, 0, 0, 0).positions.tolist() == []
    with pytest.raises(ValueError, match="list their positions"):
        _ = AppendResult("t", 0, 4, 9, 2).positions
