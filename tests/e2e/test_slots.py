"""A worker killed in the middle of a transaction on a cluster: the one that is started in its slot ends it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import rig, steps

# A transaction may last for ten minutes here: within the test nothing but the heir ends the one that is left open.
KILLED_IN_ITS_FIRST_TRANSACTION = """
import os, signal
from pathlib import Path
from penstock.log.kafka.produce import transactions
transactions.TRANSACTION_S = 600.0
plain, killed = transactions.Transactions.run, Path({killed!r})
def run(self, records, positions=(), group=None):
    if positions and records and not killed.exists():
        producer = self._started()
        producer.begin_transaction()
        transactions.produce(producer, records)
        producer.flush()
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, records, positions, group)
transactions.Transactions.run = run
"""
A_SLOT_FOR_EACH_PROCESS = """
from penstock.log.kafka.log import KafkaLog
begin = KafkaLog.__init__
def alone(self, *given, slot=None, **named):
    begin(self, *given, slot=slot and f"{slot}-{os.getpid()}", **named)
KafkaLog.__init__ = alone
"""


def goes_on(tmp_path: Path, plant: str, patience: float) -> None:
    killed = tmp_path / "killed"
    code = KILLED_IN_ITS_FIRST_TRANSACTION.replace("{killed!r}", repr(str(killed))) + plant
    env = rig.planted(tmp_path / "plant", code, "penstock.run.worker")
    with rig.running(steps.APP, tmp_path / "data", workers=1, env=env) as running:
        with steps.load(running.url, 1, count=5) as publishers:
            assert rig.eventually(killed.exists), "no worker died"
        assert steps.drained(running.url, patience), "the transaction of the dead still holds its readers back"
        assert running.stop() == 0
    steps.judge(tmp_path / "data", publishers)


def test_the_next_in_the_slot_ends_it(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig, "brokers", kafka)
    goes_on(tmp_path, "", rig.PATIENCE)


def test_mutant_a_slot_of_its_own_waits(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig, "brokers", kafka)
    with pytest.raises(AssertionError, match="holds its readers back"):
        goes_on(tmp_path, A_SLOT_FOR_EACH_PROCESS, 20)
