"""Faults planted in the logs: each must turn the conformance test that guards against it red."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.log.test_embedded import TestEmbedded as OnSqlite
from tests.log.test_memory import TestMemory as InMemory

from penstock.batch import Batch
from penstock.clock import ManualClock, SystemClock
from penstock.errors import SchemaChanged
from penstock.log import topic_schema
from penstock.log.in_memory import reader as memory
from penstock.log.in_memory import store
from penstock.log.interface import Log, Reader
from penstock.log.reading.assigned import Holding, Holdings
from penstock.log.sqlite import leases, seeking
from penstock.log.sqlite import reader as embedded
from penstock.log.sqlite.membership import FileMembership
from penstock.log.sqlite.store.appending import Appender
from penstock.log.sqlite.store.expiring import Expirer
from penstock.log.sqlite.store.tables import PartitionRow
from penstock.log.steady import SteadyTime
from penstock.schema import evolution
from penstock.testing.log_contract import BRISK, JUMPS, LogContract

To = int | datetime | str
Wrong = Callable[[Callable[[To], int], To], int]  # how to find a place as it should be, and what was asked for

on_both = pytest.mark.parametrize("contract", [InMemory(), OnSqlite()], ids=["memory", "embedded"])


@pytest.fixture
def log(contract: LogContract, tmp_path: Path) -> Iterator[Log]:
    log = contract.open(tmp_path, SystemClock(), BRISK)
    yield log
    log.close()


@pytest.fixture
def twin(contract: LogContract, log: Log, tmp_path: Path) -> Iterator[Log]:
    """As another process has it, where that can be."""
    twin = contract.open_twin(tmp_path, SystemClock(), BRISK) if contract.shared else log
    yield twin
    twin.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def timed(contract: LogContract, tmp_path: Path, clock: ManualClock) -> Iterator[Log]:
    log = contract.open(tmp_path / "timed", clock, BRISK)
    yield log
    log.close()


# -- groups -------------------------------------------------------------------


@on_both
def test_groups_that_share_their_positions_are_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    position, set_position, shared = leases.position, leases.set_position, dict[Any, int]()
    monkeypatch.setattr(leases, "position", lambda db, catalog, group, tp: position(db, catalog, 1, tp))
    monkeypatch.setattr(leases, "set_position", lambda db, group, tp, through: set_position(db, 1, tp, through))

    class Sharing(store.StoredGroup):
        through = property(lambda self: shared, lambda self, ahead: shared.update(ahead))

    monkeypatch.setattr(store, "StoredGroup", Sharing)
    with pytest.raises(AssertionError, match="a group goes on where another is"):
        contract.test_groups_are_independent(log, log)


@on_both
def test_a_commit_that_is_fenced_for_its_advances_alone_is_found(
    contract: LogContract, log: Log, twin: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Holdings, "answered_for", lambda _own, done: [(a.topic, a.partition) for a in done])
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_a_silent_member_is_fenced_though_it_advances_nothing(log, twin)


@pytest.mark.parametrize("contract", [OnSqlite()], ids=["embedded"])
def test_a_displaced_member_that_had_nothing_and_commits_is_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileMembership, "_check_name", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_a_displaced_member_is_fenced_though_it_advances_nothing(log, [666])


@on_both
def test_a_partition_that_comes_back_unnoticed_is_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned = Holdings.owned
    monkeypatch.setattr(
        Holdings, "owned", lambda own, topic: {p: replace(a, epoch=0) for p, a in owned(own, topic).items()}
    )
    with pytest.raises(AssertionError, match="nobody can tell"):
        contract.test_a_partition_that_comes_back_has_another_epoch(log, log)


@on_both
def test_a_position_that_is_not_kept_up_is_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Holding, "committed", lambda *_: None)
    with pytest.raises(AssertionError, match="not kept up"):
        contract.test_what_a_member_owns_is_told_with_the_groups_position(log, log)


# -- seeking ------------------------------------------------------------------


def plant_seek(monkeypatch: pytest.MonkeyPatch, wrong: Wrong) -> None:
    in_memory, on_disk = memory.MemoryReader._target, seeking.target
    monkeypatch.setattr(
        memory.MemoryReader,
        "_target",
        staticmethod(lambda partition, to: wrong(lambda it: in_memory(partition, it), to)),
    )
    monkeypatch.setattr(
        embedded, "target", lambda db, place, row, to: wrong(lambda it: on_disk(db, place, row, it), to)
    )


@on_both
@pytest.mark.parametrize(
    "wrong",
    [
        lambda go, to: go(to) + isinstance(to, int),
        lambda go, to: go(to) - isinstance(to, int),
        lambda go, to: go(to) + (to == "earliest"),
        lambda go, to: go(to) - (to == "latest"),
        lambda go, to: go("earliest"),
    ],
    ids=["one too far", "one too near", "without the first", "with the last", "always all"],
)
def test_a_seek_that_is_off_by_one_row_is_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    plant_seek(monkeypatch, wrong)
    with pytest.raises(AssertionError, match=r"a seek to \w+ leads elsewhere"):
        contract.test_seek_by_position_earliest_latest_and_committed(log)


@on_both
@pytest.mark.parametrize(
    "wrong",
    [
        lambda go, to: go(to + timedelta(microseconds=1)),
        lambda go, to: go(to - timedelta(seconds=60)),
        lambda go, to: go(to) - 1,
        lambda go, to: go(to.replace(tzinfo=UTC)),
    ],
    ids=["exclusive", "the one before", "one too near", "whatever its zone"],
)
def test_a_seek_by_time_that_misses_its_row_is_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    plant_seek(monkeypatch, wrong)
    with pytest.raises(AssertionError, match="a seek to a time leads elsewhere"):
        contract.test_seek_by_time(timed, clock)


@pytest.mark.parametrize("contract", [OnSqlite()], ids=["embedded"])
def test_a_seek_that_only_its_reader_knows_of_is_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileMembership, "move", lambda *_: None)
    with pytest.raises(AssertionError, match="the seek is forgotten"):
        contract.test_a_seek_of_a_group_is_durable(log)


@on_both
def test_a_start_at_the_latest_that_is_not_kept_is_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "start_latest", lambda *_: None)
    monkeypatch.setattr(store.Store, "start_latest", lambda *_: None)
    with pytest.raises(AssertionError, match="what was there before is read"):
        contract.test_starting_at_the_latest_sees_only_what_comes_after_joining(log)


# -- clocks -------------------------------------------------------------------


@on_both
@pytest.mark.parametrize("jump", JUMPS)
def test_append_times_that_follow_the_wall_clock_back_are_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    monkeypatch.setattr(store.Store, "_now", lambda self: self.clock.now())
    begin = Appender.__init__

    def raw(self: Appender, *given: Any) -> None:
        begin(self, *given)
        self.time = clock.now()

    monkeypatch.setattr(Appender, "__init__", raw)
    with pytest.raises(AssertionError, match="append time went back"):
        contract.test_a_jump_of_the_wall_clock_expires_nothing_early(timed, clock, jump)


@on_both
@pytest.mark.parametrize("jump", [jump for jump in JUMPS if jump < 0])
def test_append_times_that_stand_still_while_the_wall_clock_is_behind_are_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    monkeypatch.setattr(SteadyTime, "stamp", lambda self: self._clock.now())
    with pytest.raises(AssertionError, match=r"not yet|append time went back"):
        contract.test_a_jump_of_the_wall_clock_expires_nothing_early(timed, clock, jump)


@on_both
@pytest.mark.parametrize("jump", [jump for jump in JUMPS if jump > 0])
def test_retention_by_the_wall_clock_is_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    monkeypatch.setattr(SteadyTime, "expiry", lambda self: self._clock.now())
    with pytest.raises(AssertionError, match="early"):
        contract.test_a_jump_of_the_wall_clock_expires_nothing_early(timed, clock, jump)


# -- retention ----------------------------------------------------------------


@on_both
def test_retention_that_removes_too_early_is_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SteadyTime, "expiry", lambda self: self._clock.now() + 10_000_000)
    with pytest.raises(AssertionError, match="removed too early"):
        contract.test_retention_by_age_removes_what_is_older_and_nothing_else(timed, clock)


@on_both
@pytest.mark.parametrize("by", ["age_removes_what_is_older_and_nothing_else", "size_keeps_the_newest"])
def test_retention_that_removes_nothing_is_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(Expirer, "expire", lambda *_: None)
    monkeypatch.setattr(store.Store, "_expire", lambda *_: None)
    with pytest.raises(AssertionError, match="what is older stays"):
        getattr(contract, f"test_retention_by_{by}")(timed, clock)


@on_both
def test_events_that_were_missed_in_silence_are_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_memory(holding: Holding, partition: store.StoredPartition) -> None:
        holding.cursor = max(holding.cursor, partition.earliest)

    def on_disk(_reader: Reader, holding: Holding, row: PartitionRow) -> None:
        holding.cursor = row.first

    monkeypatch.setattr(memory.MemoryReader, "_check_overtaken", staticmethod(in_memory))
    monkeypatch.setattr(embedded.EmbeddedReader, "_overtaken", on_disk)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_a_group_that_retention_overtook_is_told_once_and_goes_on(timed, clock)


@on_both
def test_a_group_that_begins_nowhere_is_found(
    contract: LogContract, timed: Log, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that has committed nothing then goes on at the earliest event left, as if it were new."""

    class Forgetful(dict[Any, int]):
        def setdefault(self, _key: Any, default: Any = None) -> Any:
            return default

    made = store.StoredGroup
    monkeypatch.setattr(store, "StoredGroup", lambda: made(through=Forgetful()))
    monkeypatch.setattr(leases, "_begin", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_a_group_that_committed_nothing_is_told_too(timed, clock, True)


# -- order --------------------------------------------------------------------


@on_both
def test_rows_that_come_back_in_another_order_are_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plant(reader: type[Reader]) -> None:
        plain = reader.read

        def backwards(self: Reader, max_events: int, wait: float | None) -> list[Batch]:
            return [replace(b, rows=b.rows.take(pa.array(range(len(b))[::-1]))) for b in plain(self, max_events, wait)]

        monkeypatch.setattr(reader, "read", backwards)

    plant(memory.MemoryReader)
    plant(embedded.EmbeddedReader)
    with pytest.raises(AssertionError, match="rows are in another order"):
        contract.test_rows_come_back_in_order_with_increasing_positions(log)


# -- types that grew ----------------------------------------------------------


@on_both
def test_older_rows_that_get_their_types_zero_for_the_default_are_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evolution, "default_scalar", lambda field: pa.scalar("", field.type))
    with pytest.raises(AssertionError, match="another value than the default"):
        contract.test_an_added_default_stands_where_older_rows_and_older_writers_have_nothing(log, log)


@on_both
def test_an_older_writer_that_is_refused_for_lack_of_a_default_is_found(
    contract: LogContract, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_schema, "may_lack", lambda field: field.nullable)
    with pytest.raises(SchemaChanged, match="unit"):
        contract.test_an_added_default_stands_where_older_rows_and_older_writers_have_nothing(log, log)
