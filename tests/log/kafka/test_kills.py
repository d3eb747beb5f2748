"""Processes killed and stopped beside a broker that stays. Every check is shown red by a mutant."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import psutil
import pytest
from tests.log.kafka.child import PARTITIONS, opened, rows
from tests.log.kafka.moving import PATIENCE, Moving, encoding, eventually, kill_at_random

from penstock.batch import Write
from penstock.errors import Fenced, LogError
from penstock.log.interface import Advance
from penstock.log.kafka.consume.reader import KafkaReader
from penstock.log.kafka.produce.transactions import OutcomeUnknown, Transactions

pytestmark = pytest.mark.soak  # minutes, which groups and transactions spend on waiting

__all__ = ["encoding"]


@pytest.fixture
def moving(kafka: str, prefix: str, encoding: str) -> Iterator[Moving]:
    moving = Moving(kafka, prefix, encoding)
    yield moving
    moving.close()


def test_sigkill_ofwriters_and_stages_loses_and_doubles_nothing(moving: Moving) -> None:
    kill_at_random(moving, 6, movers=3, pause=(1.0, 4.0), seed=5)
    moving.check_acknowledged()
    moving.check_moved()


def after_a_death(moving: Moving, mutant: str) -> None:
    """A mover that dies between its outputs and its positions, and one that goes on."""
    writers = [moving.write(partition, 30) for partition in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert moving.start("move", "worker-1", "", mutant).wait() == -signal.SIGKILL
    moving.start("move", "worker-1")
    moving.finish()


@pytest.mark.parametrize("mutant", ["positions first", "outputs first"])
def test_mutant_positions_committed_outside_of_the_transaction_is_caught(moving: Moving, mutant: str) -> None:
    after_a_death(moving, mutant)
    with pytest.raises(AssertionError, match="lost, doubled or reordered"):
        moving.check_moved()


def test_mutant_acknowledged_before_it_was_stored_is_caught(moving: Moving) -> None:
    assert moving.write(0, 30).wait() == 0
    moving.note(0)
    moving.check_acknowledged()
    moving.acknowledged[0].append(moving.acknowledged[0][-1] + 1)
    with pytest.raises(AssertionError, match="acknowledged"):
        moving.check_acknowledged()


def stopped_and_gone_on(moving: Moving, way: str, mutant: str = "") -> str:
    """What a mover says first that stood still until another had done its work."""
    writers = [moving.write(partition, 30) for partition in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    zombie = moving.start("move", "worker-1", way, mutant)
    zombie.says("still")
    process = psutil.Process(zombie.popen.pid)
    eventually(lambda: process.status() == psutil.STATUS_STOPPED, "stopped")
    moving.start("move", "worker-1" if way == "still" else "worker-2")
    moving.finish()
    told = len(zombie.said)
    process.send_signal(signal.SIGCONT)
    eventually(lambda: len(zombie.said) > told, "it said what became of its work")
    said = zombie.said[told]
    if not mutant:
        moving.write(0, 1_000_000, most=50)
        moving.write(1, 1_000_000, most=50)
        moving.write(2, 1_000_000, most=50)
        moving.write(3, 1_000_000, most=50)
        zombie.says("moved")  # a member like any other
    return said


@pytest.mark.parametrize("way", ["still", "still in a transaction"])
def test_a_process_that_stood_still_is_fenced_and_takes_its_share_again(moving: Moving, way: str) -> None:
    """The second way it stands still for longer than its transaction may last: before that, nobody goes on."""
    assert stopped_and_gone_on(moving, way).startswith("fenced")
    for partition, writer in list(moving.writers.items()):
        writer.end()
        moving.note(partition)
    moving.finish()
    moving.check_moved()


def test_mutant_commits_without_the_groups_generation_is_caught(moving: Moving) -> None:
    assert stopped_and_gone_on(moving, "still", "no generation").startswith("moved")
    with pytest.raises(AssertionError, match="lost, doubled or reordered"):
        moving.check_moved()


def died_in_a_transaction(moving: Moving, slot: str) -> None:
    """The transaction of a mover in slot "a" may last for ten minutes; another mover comes, in ``slot``."""
    assert moving.write(0, 30).wait() == 0
    dead = moving.start("move", "worker-1", "killed in a long transaction", slot="a")
    assert dead.wait() == -signal.SIGKILL
    moving.start("move", "worker-1", slot=slot)


def test_the_heir_of_a_slot_ends_the_transaction_that_its_predecessor_left_open(moving: Moving) -> None:
    died_in_a_transaction(moving, "a")
    moving.finish()
    moving.check_moved()


def test_mutant_another_slot_waits_until_the_transaction_has_timed_out(moving: Moving) -> None:
    died_in_a_transaction(moving, "b")
    with pytest.raises(AssertionError, match="not within"):
        moving.finish(20)


def with_a_lost_answer(moving: Moving, stored: bool, monkeypatch: pytest.MonkeyPatch, within: float = PATIENCE) -> None:
    """A mover whose first transaction ends without a word, and who goes on."""
    log = opened(moving.brokers, moving.namespace, moving.encoding)
    try:
        log.append([Write("in", p, rows([p])) for p in range(PARTITIONS)])
        reader = log.reader("movers", ["in"], "m")
        plain = Transactions._insist
        asked: list[str] = []

        def lost(self: Transactions, act: object) -> None:
            asked.append("")
            if len(asked) == 3 and not stored:  # init_transactions, send_offsets_to_transaction, commit_transaction
                self._drop()
                raise OutcomeUnknown("the request was lost")
            plain(self, act)  # type: ignore[arg-type]
            if len(asked) == 3:
                self._drop()
                raise OutcomeUnknown("the answer was lost")

        monkeypatch.setattr(Transactions, "_insist", lost)
        fenced = []

        def moved() -> bool:
            try:
                batches = reader.read(100, 0.5)
                done = [Advance(b.topic, b.partition, b.through) for b in batches]
                reader.commit(done, [Write("out", b.partition, b.rows) for b in batches])
            except Fenced as error:
                fenced.append(error)
            except LogError as error:
                raise AssertionError("it is told as fenced: the work is dropped") from error
            return sum(map(len, moving.stored("out").values())) >= PARTITIONS

        eventually(moved, "all has been moved", within)
        assert len(fenced) == 1
        moving.check_moved()
    finally:
        log.close()


@pytest.mark.parametrize("stored", [True, False], ids=["it was stored", "it was not"])
def test_a_transaction_of_which_nobody_knows_the_outcome(
    moving: Moving, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positions are read anew, and what was stored is not stored again."""
    with_a_lost_answer(moving, stored, monkeypatch)


def test_mutant_goes_on_behind_a_transaction_of_unknown_outcome_is_caught(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KafkaReader, "_put_out", lambda self, named, error: Fenced(named))
    with pytest.raises(AssertionError, match="not within"):
        with_a_lost_answer(moving, False, monkeypatch, 15)
