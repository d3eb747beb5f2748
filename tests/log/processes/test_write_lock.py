import os
from pathlib import Path

from penstock.clock import ManualClock
from penstock.log.processes.write_lock import HolderWatch, WriteLock


def test_a_holder_that_stays_in_is_named_after_the_timeout(tmp_path: Path) -> None:
    path, clock = tmp_path / "write.lock", ManualClock()
    turnstile, watch = WriteLock(path), HolderWatch(path, clock, 5.0)
    turnstile.enter()
    assert watch.stuck() is None
    clock.advance(4)
    assert watch.stuck() is None
    clock.advance(2)
    assert watch.stuck() == os.getpid()
    turnstile.leave(7)
    assert watch.stuck() is None
    turnstile.close()


def test_many_short_turns_are_not_one_long_one(tmp_path: Path) -> None:
    path, clock = tmp_path / "write.lock", ManualClock()
    turnstile, watch = WriteLock(path), HolderWatch(path, clock, 5.0)
    for _ in range(10):
        turnstile.enter()
        clock.advance(4)
        assert watch.stuck() is None
        turnstile.leave(None)
    turnstile.close()


def test_a_holder_that_died_is_not_stuck(tmp_path: Path) -> None:
    path, clock = tmp_path / "write.lock", ManualClock()
    turnstile, watch = WriteLock(path), HolderWatch(path, clock, 5.0)
    turnstile.enter()
    watch.stuck()
    turnstile.close()  # as the system does for a killed process: the record stays, the lock goes
    clock.advance(10)
    assert watch.stuck() is None


def test_the_last_commit_is_remembered_and_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "write.lock"
    first = WriteLock(path)
    first.enter()
    first.leave(42)
    first.close()
    second = WriteLock(path)
    second.enter()
    assert second.last.committed == 42
    second.leave(None)
    second.close()
    path.write_bytes(b"x" + path.read_bytes()[1:])
    third = WriteLock(path)
    third.enter()
    assert third.last.committed == 0
    third.close()


def test_watching_before_there_is_a_log_is_harmless(tmp_path: Path) -> None:
    assert HolderWatch(tmp_path / "write.lock", ManualClock(), 5.0).stuck() is None
