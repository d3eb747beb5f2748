"""Views over the log in memory and the embedded one; and what each check is there for."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from tests.system.contract import FAULTS, AlterableLog, ViewContract
from tests.system.house import House

from penstock.batch import SNAPSHOTS
from penstock.log.embedded import EmbeddedLog
from penstock.log.memory import MemoryLog
from penstock.models.decide import RegistryState
from penstock.notices import notices
from penstock.system import snapshots
from penstock.system.snapshots import Snapshot
from penstock.system.view import View


class TestInMemory(ViewContract):
    def open(self, directory: Path) -> AlterableLog:
        return MemoryLog(gap=3)


class TestEmbedded(ViewContract):
    def open(self, directory: Path) -> AlterableLog:
        return EmbeddedLog(directory)

    @pytest.mark.parametrize("before", [True, False])
    def test_a_batch_that_the_disk_damaged(self, tmp_path: Path, before: bool) -> None:
        house = House(EmbeddedLog(tmp_path))
        house.live()
        if before:
            house.save()
            house.live()
        house.save()
        house.live()
        damage_last(tmp_path)
        self.assert_started(house)
        assert f"{SNAPSHOTS}/0" in self.told()
        assert ("an older one" if before else "the whole history") in self.told()


def damage_last(directory: Path) -> None:
    """One byte of the newest snapshot, and no other."""
    with apsw.Connection(str(directory / "log.db")) as db:
        topic = "SELECT id FROM topic WHERE name = ?"
        tp = f"SELECT tp FROM partition WHERE topic = ({topic})"
        batch = db.execute(f"SELECT max(id) FROM batch WHERE id >> 40 = ({tp})", (SNAPSHOTS,)).get
        payload = bytearray(db.execute("SELECT payload FROM batch WHERE id = ?", (batch,)).get)
        payload[len(payload) // 2] ^= 1
        db.execute("UPDATE batch SET payload = ? WHERE id = ?", (bytes(payload), batch))


def unchecked(self: View, snapshot: Snapshot, area: RegistryState) -> None:
    area.restore(snapshot.saved())


@pytest.mark.parametrize("fault", ["damaged", "cut", "newer form", "newer than the log"])
def test_the_checks_are_needed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these snapshots is well-formed, and wrong."""
    monkeypatch.setattr(snapshots, "_fault", lambda *given: None)
    monkeypatch.setattr(View, "_fault", unchecked)
    house = House(MemoryLog())
    house.live()
    house.write(FAULTS[fault][0](house))
    with pytest.raises(AssertionError, match="it knows what the log tells"):
        TestInMemory().assert_started(house)


def test_an_alarm_without_a_cause_is_found(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(View, "_is_ahead", lambda self, snapshot: snapshot.through >= self._end)
    with pytest.raises(AssertionError, match="nothing is wrong"):
        TestInMemory().test_one_that_is_written_meanwhile(House(MemoryLog(gap=3)), monkeypatch, caplog)


def test_a_restore_that_fails_changes_nothing() -> None:
    house = House(MemoryLog())
    house.live()
    before = house.started()
    with pytest.raises(ValueError, match="malformed"):
        house.models.restore(b"\xc1")
    assert house.models == before
    assert notices().standing() == ()


def test_who_was_overtaken_goes_on_from_a_snapshot() -> None:
    """Retention took what this view had not read."""
    log = MemoryLog()
    house = House(log)
    house.live()
    late = View(log, [state := RegistryState()], house.clock, "late")
    late.refresh()
    house.live()
    house.save()
    TestInMemory().forget(house)
    late.refresh()
    assert state == house.models
