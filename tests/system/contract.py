"""What holds of a view that begins from snapshots, over every log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Protocol

import pyarrow as pa
import pytest
from tests.system.house import House

from penstock.batch import SNAPSHOTS, SYSTEM, Write
from penstock.log.interface import Alter
from penstock.models.decide import RegistryState
from penstock.models.messages import Register
from penstock.notices import notices
from penstock.run.compose.bootstrap import SYSTEM_TOPIC
from penstock.system import snapshots
from penstock.system import view as viewing
from penstock.system.interface import SystemLog
from penstock.system.messages import to_rows
from penstock.system.snapshots import SNAPSHOT_TOPIC, Snapshot
from penstock.system.view import View

Plant = Callable[[House], pa.RecordBatch]


class AlterableLog(SystemLog, Alter, Protocol): ...


def replaced(rows: pa.RecordBatch, **columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [columns.get(f.name, rows.column(f.name)) for f in rows.schema], schema=rows.schema
    )


def other_bytes(house: House) -> pa.RecordBatch:
    """Of another snapshot, under the digest of what was written."""
    true = house.plant(saved=house.models.save())
    return replaced(house.plant(), digest=true.column("digest"))


def without_its_end(house: House) -> pa.RecordBatch:
    parts = house.plant()
    return replaced(parts, parts=pa.array([parts.num_rows + 1] * parts.num_rows, pa.int32()))


FAULTS: dict[str, tuple[Plant, str]] = {
    "damaged": (other_bytes, "is damaged"),
    "cut": (without_its_end, "is cut: 1 of 2 parts are there"),
    "newer form": (lambda house: house.plant(form=RegistryState.form + 1), "was written by a newer version"),
    "newer than the log": (lambda house: house.plant(ahead=1 << 30), f"is newer than {SYSTEM}, which ends before"),
    "no image": (lambda house: house.plant(saved=b"\xc1"), "cannot be read: MessagePack data is malformed"),
}
faults = pytest.mark.parametrize("fault", FAULTS)


class ViewContract:
    def open(self, directory: Path) -> AlterableLog:
        raise NotImplementedError

    @pytest.fixture
    def house(self, tmp_path: Path) -> House:
        return House(self.open(tmp_path))

    def test_a_process_starts_from_the_newest_and_what_came_after(self, house: House) -> None:
        house.live()
        house.save()
        assert house.started() == house.models
        house.live()
        house.save()
        house.live()
        self.assert_started(house)
        self.assert_nothing_told()

    def test_what_a_snapshot_covers_is_not_read(self, house: House) -> None:
        house.live()
        house.save()
        self.forget(house)
        self.assert_started(house)

    def test_large_ones_are_read_from_the_end(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of many parts each, with more snapshots before them than one look finds."""
        monkeypatch.setattr(snapshots, "PART_BYTES", 40)
        for _ in range(4):
            house.live(1)
            house.save()
        assert sum(state.events for state in house.log.partitions(SNAPSHOTS)) > 2 * snapshots.FIRST_LOOK
        self.forget(house)
        self.assert_started(house)

    def test_one_that_no_record_holds_is_in_several(self, house: House) -> None:
        noise = Random(1)
        waits = [
            Register(id=str(n), name="waits", digest="ab" * 32, dataset_id=noise.randbytes(40_000).hex())
            for n in range(60)
        ]
        for some in range(0, len(waits), 10):
            house.log.append([Write(SYSTEM, 0, to_rows(waits[some : some + 10]))])
        house.owner.refresh()
        house.save()
        assert sum(state.bytes for state in house.log.partitions(SNAPSHOTS)) > 2 << 20
        self.forget(house)
        self.assert_started(house)

    def test_a_log_from_before_snapshots_is_read_whole(self, tmp_path: Path) -> None:
        house = House(self.open(tmp_path), SYSTEM_TOPIC)
        house.live()
        self.assert_started(house)
        house.log.create(SNAPSHOT_TOPIC)
        self.assert_started(house)
        house.save()
        self.assert_started(house)
        self.assert_nothing_told()

    @faults
    def test_one_that_cannot_be_used_is_passed_over_and_told(self, house: House, fault: str) -> None:
        plant, says = FAULTS[fault]
        house.live()
        house.write(plant(house))
        self.assert_started(house)
        assert f"{says}" in self.told() and "the whole history is read instead" in self.told()

    @faults
    def test_the_one_before_is_used(self, house: House, fault: str) -> None:
        plant, says = FAULTS[fault]
        house.live()
        house.save()
        house.live()
        house.write(plant(house))
        self.assert_started(house)
        assert f"{says}" in self.told() and "an older one, up to position" in self.told()

    @faults
    def test_an_older_one_is_of_no_account(self, house: House, fault: str) -> None:
        house.live()
        house.write(FAULTS[fault][0](house))
        house.live()
        house.save()
        self.assert_started(house)
        self.assert_nothing_told()

    def test_one_that_is_written_meanwhile(
        self, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Between the look at the log's end and the one at the snapshots."""
        real = snapshots.looks

        def looks(log: SystemLog, member: str) -> Iterator[list[Snapshot | str]]:
            if member == "new":
                house.live()
                house.save()
            yield from real(log, member)

        monkeypatch.setattr(viewing, "looks", looks)
        house.live()
        self.assert_started(house)
        assert "the snapshot of" not in caplog.text, "nothing is wrong"  # a notice would be settled by now

    def test_it_is_over_with_the_next(self, house: House) -> None:
        house.live()
        house.write(house.plant(form=RegistryState.form + 1))
        view = View(house.log, [RegistryState()], house.clock, "stays")
        view.refresh()
        assert "newer version" in self.told()
        house.save()
        view.refresh()
        assert notices().standing() == ()
        view.close()

    def test_history_that_no_snapshot_covers_is_told_when_it_is_gone(self, house: House) -> None:
        house.live()
        self.forget(house)
        assert house.started() == RegistryState()
        assert "no snapshot covers what was before it" in self.told()

    # -- what the suite needs -------------------------------------------------

    def forget(self, house: House) -> None:
        """As retention does with events that are old enough."""
        log = house.log
        assert hasattr(log, "reset")
        log.reset(SYSTEM_TOPIC)

    def assert_started(self, house: House) -> None:
        assert house.started() == house.models, "it knows what the log tells"

    def assert_nothing_told(self) -> None:
        assert notices().standing() == (), "nothing is wrong"

    def told(self) -> str:
        return "; ".join(notice.reason for notice in notices().standing())
