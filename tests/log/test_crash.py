"""Processes killed, stopped and cut off at random and at chosen moments. Every check is shown red by a mutant."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.log.children import finish, killed_at_last, line, needs_strace, start, stored, wait_until

from penstock.errors import LogError
from penstock.log.embedded import EmbeddedLog, holder_watch
from penstock.log.interface import Advance
from penstock.settings import Settings


def check_acknowledged(directory: Path, acknowledged: dict[int, int]) -> None:
    """Numbers are written in order from 0, so what is stored must be an unbroken run past the last acknowledged."""
    kept = stored(directory, "in")
    for partition, last in acknowledged.items():
        numbers = kept.get(partition, [])
        assert numbers == list(range(len(numbers))), "rows were lost, doubled or reordered"
        assert len(numbers) > last, f"acknowledged {last}, and {len(numbers)} are left"


def check_moved(directory: Path) -> None:
    """Every number that went in came out, once, in order."""
    came, went = stored(directory, "in"), stored(directory, "out")
    lost = {(p, n) for p, numbers in came.items() for n in numbers if n not in went.get(p, [])}
    assert not lost, "what was dealt with did not come out"
    assert went == came, "rows came out twice or in another order"


def kill_at_random(directory: Path, kills: int) -> dict[int, int]:
    """Two writers and two movers, one of which dies at each kill and starts again; the last acknowledged numbers."""
    acknowledged = {0: -1, 1: -1}
    writers = {p: start("write", directory, p, 0, 1_000_000) for p in (0, 1)}
    movers = {m: start("move", directory, m) for m in (0, 1)}
    for _ in range(kills):
        time.sleep(random.uniform(0.3, 0.9))
        victim = random.randrange(2)
        if random.random() < 0.5:
            movers[victim].kill()
            movers[victim].communicate()
            movers[victim] = start("move", directory, victim)
        else:
            note(acknowledged, victim, writers[victim])
            begin = len(stored(directory, "in").get(victim, []))
            check_acknowledged(directory, {victim: acknowledged[victim]})
            writers[victim] = start("write", directory, victim, begin, 1_000_000)
    for partition, writer in writers.items():
        note(acknowledged, partition, writer)
    with killed_at_last(list(movers.values())):
        wait_until(lambda: lag(directory) == 0)
    move_the_rest(directory)
    return acknowledged


def move_the_rest(directory: Path) -> None:
    """Once all processes are dead: opening recovers what a writer had synced as it died, and nobody could see yet."""
    mover = start("move", directory, "last")
    with killed_at_last([mover]):
        assert line(mover) == "ready"
        wait_until(lambda: lag(directory) == 0)


def note(acknowledged: dict[int, int], partition: int, writer: subprocess.Popen[str]) -> None:
    writer.kill()
    _, said = finish(writer)
    acknowledged[partition] = max([acknowledged[partition], *map(int, said)])


def lag(directory: Path) -> int:
    log = EmbeddedLog(directory)
    try:
        return sum(state.lag_events for state in log.groups() if state.group == "movers")
    finally:
        log.close()


def test_sigkill_of_writers_and_stages_loses_and_doubles_nothing(tmp_path: Path) -> None:
    check_acknowledged(tmp_path, kill_at_random(tmp_path, 6))
    check_moved(tmp_path)


@pytest.mark.soak
def test_sigkill_hundreds_of_times(tmp_path: Path) -> None:
    check_acknowledged(tmp_path, kill_at_random(tmp_path, 300))
    check_moved(tmp_path)


def test_mutant_positions_committed_before_outputs_is_caught(tmp_path: Path) -> None:
    assert finish(start("write", tmp_path, 0, 0, 30))[0] == 0
    assert finish(start("move", tmp_path, "m", "positions first"))[0] == -signal.SIGKILL
    move_the_rest(tmp_path)
    with pytest.raises(AssertionError, match="did not come out"):
        check_moved(tmp_path)


def test_mutant_acknowledged_before_it_was_stored_is_caught(tmp_path: Path) -> None:
    _, said = finish(start("write", tmp_path, 0, 0, 30))
    with pytest.raises(AssertionError, match="acknowledged 30, and 30 are left"):
        check_acknowledged(tmp_path, {0: int(said[-1]) + 1})


def test_the_partitions_of_a_killed_process_move_within_seconds(tmp_path: Path) -> None:
    assert finish(start("write", tmp_path, 0, 0, 30))[0] == 0
    holder = start("hold", tmp_path, "first")
    with killed_at_last([holder]):
        assert line(holder) == "read"
        log = EmbeddedLog(tmp_path, settings=Settings(member_timeout=60))
        heir = log.reader("movers", ["in"], "second")
        assert heir.read(100, 0.7) == [] or not owns(heir, 0)
        holder.kill()
        began = time.monotonic()
        while not owns(heir, 0):
            heir.read(100, 0.1)
            assert time.monotonic() - began < 10
        assert time.monotonic() - began < 4
        log.close()


def owns(reader: object, partition: int) -> bool:
    return ("in", partition) in reader._own.held  # type: ignore[attr-defined]


@pytest.mark.parametrize("mutant", ["", "no epoch check"])
def test_a_stopped_process_is_fenced_when_it_goes_on(tmp_path: Path, mutant: str) -> None:
    assert finish(start("write", tmp_path, 0, 0, 30))[0] == 0
    zombie = start("hold", tmp_path, "zombie", mutant)
    heir = None
    with killed_at_last([zombie]):
        assert line(zombie) == "read"
        zombie.send_signal(signal.SIGSTOP)
        heir = start("move", tmp_path, "heir")
        with killed_at_last([heir]):
            wait_until(lambda: lag(tmp_path) == 0)
            zombie.send_signal(signal.SIGCONT)
            assert zombie.stdin is not None
            zombie.stdin.write("go\n")
            zombie.stdin.flush()
            said = line(zombie)
    if mutant:
        assert said == "committed"
        with pytest.raises(AssertionError, match="came out twice"):
            check_moved(tmp_path)
    else:
        assert said == "fenced [('in', 0)]"
        check_moved(tmp_path)


def test_a_holder_of_the_writers_lock_that_is_stopped_is_found(tmp_path: Path) -> None:
    writer = start("write", tmp_path, 0, 0, 1_000_000)
    watch = holder_watch(tmp_path, settings=Settings(holder_timeout=0.3))
    with killed_at_last([writer]):
        assert line(writer) == "0"
        assert watch.stuck() is None
        found = None
        for _ in range(200):  # until it is stopped with the lock in its hands
            writer.send_signal(signal.SIGSTOP)
            deadline = time.monotonic() + 0.6
            while found is None and time.monotonic() < deadline:
                found = watch.stuck()
                time.sleep(0.05)
            if found:
                break
            writer.send_signal(signal.SIGCONT)
            time.sleep(random.uniform(0.001, 0.01))
        assert found == writer.pid
    assert watch.stuck() is None
    check_acknowledged(tmp_path, {0: 0})


# -- every crash point --------------------------------------------------------


def calls(directory: Path, trace: Path, names: str) -> list[str]:
    assert finish(start("write", directory, 0, 0, 30, strace=["-o", str(trace), "-e", f"trace={names}"]))[0] == 0
    return [text for text in trace.read_text().splitlines() if "(" in text and "resumed" not in text]


def crash_at(directory: Path, call: str, nth: int) -> None:
    options = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"]
    _, said = finish(start("write", directory, 0, 0, 30, strace=options))
    acknowledged = max([-1, *map(int, said)])
    check_acknowledged(directory, {0: acknowledged})
    begin = len(stored(directory, "in").get(0, []))
    assert finish(start("write", directory, 0, begin, 40))[0] == 0, "does not go on after the crash"
    check_acknowledged(directory, {0: 39})


@needs_strace
def test_sigkill_at_every_kind_of_write(tmp_path: Path) -> None:
    for call, points in (("fdatasync", (1, 4, 9)), ("pwrite64", (2, 17, 60))):
        for nth in points:
            crash_at(tmp_path / f"{call}{nth}", call, nth)


@needs_strace
def test_a_commit_that_was_synced_and_never_acknowledged_comes_with_the_next_recovery(tmp_path: Path) -> None:
    keeper = start("keep_open", tmp_path)
    with killed_at_last([keeper]):
        assert line(keeper) == "open"
        options = ["-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=SIGKILL:when=9"]
        finish(start("write", tmp_path, 0, 0, 30, strace=options))
        seen = stored(tmp_path, "in")
    assert len(stored(tmp_path, "in")[0]) > len(seen[0])
    move_the_rest(tmp_path)
    check_moved(tmp_path)


@needs_strace
@pytest.mark.soak
@pytest.mark.parametrize("call", ["fdatasync", "fsync", "pwrite64", "ftruncate", "openat", "rename"])
def test_sigkill_at_every_call(tmp_path: Path, call: str) -> None:
    made = calls(tmp_path / "whole", tmp_path / "trace", call)
    # Python itself opens hundreds of files while it starts: only those of the log can hurt one
    points = [nth for nth, text in enumerate(made, 1) if call != "openat" or str(tmp_path) in text]
    assert points
    for nth in points:
        crash_at(tmp_path / str(nth), call, nth)


# -- the disk -----------------------------------------------------------------


def fail_sync(directory: Path, trace: Path, role: str, nth: int) -> tuple[int, list[str], list[str]]:
    """The exit code, what was said, and the calls from the failed fsync on."""
    options = ["-o", str(trace), "-e", "trace=fdatasync,write", "-e", f"inject=fdatasync:error=EIO:when={nth}"]
    code, said = finish(start(role, directory, 0, 0, 30, strace=options))
    traced = trace.read_text().splitlines()
    failed = next(i for i, text in enumerate(traced) if "EIO" in text)
    return code, said, traced[failed + 1 :]


def check_failure(code: int, said: list[str], after: list[str]) -> None:
    assert code not in (0, -signal.SIGKILL), "the process went on after a failed fsync"
    assert said[-1].startswith("failed"), "nothing said why"
    assert not [text for text in after if "fdatasync(" in text], "the fsync was tried again"
    assert len([text for text in after if "write(1," in text]) == 1, "acknowledged after a failed fsync"


@needs_strace
@pytest.mark.parametrize("nth", [5, 13, 16, *(pytest.param(n, marks=pytest.mark.soak) for n in range(17, 27))])
def test_a_failed_fsync_stops_the_process_and_a_restart_recovers(tmp_path: Path, nth: int) -> None:
    code, said, after = fail_sync(tmp_path / "log", tmp_path / "trace", "write", nth)
    check_failure(code, said, after)
    check_acknowledged(tmp_path / "log", {0: max([-1, *map(int, said[:-1])])})
    begin = len(stored(tmp_path / "log", "in").get(0, []))
    assert finish(start("write", tmp_path / "log", 0, begin, 40))[0] == 0
    check_acknowledged(tmp_path / "log", {0: 39})


@needs_strace
def test_a_failed_fsync_while_the_file_is_made_is_told_and_the_next_start_makes_it(tmp_path: Path) -> None:
    code, said, _ = fail_sync(tmp_path / "log", tmp_path / "trace", "write", 4)
    assert code == 74 and said[-1].startswith("failed") and len(said) == 1
    assert finish(start("write", tmp_path / "log", 0, 0, 40))[0] == 0
    check_acknowledged(tmp_path / "log", {0: 39})


@needs_strace
def test_a_failed_fsync_while_closing_is_told_and_has_lost_nothing(tmp_path: Path) -> None:
    last = len(calls(tmp_path / "whole", tmp_path / "trace", "fdatasync"))
    check_failure(*fail_sync(tmp_path / "log", tmp_path / "trace", "write", last))
    check_acknowledged(tmp_path / "log", {0: 29})


@needs_strace
def test_mutant_trying_again_after_a_failed_fsync_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="went on after a failed fsync"):
        check_failure(*fail_sync(tmp_path / "log", tmp_path / "trace", "write_through_failure", 16))


def test_a_group_commit_of_a_dead_log_raises_for_ever(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.close()
    with pytest.raises(LogError):
        log.reader("g", [], "m").commit([Advance("in", 0, 0)], [])
