from pathlib import Path

from penstock.clock import Clock
from penstock.log.interface import Log
from penstock.log.memory import MemoryLog
from penstock.settings import Settings
from penstock.testing.log_contract import LogContract


class TestMemory(LogContract):
    survives = False
    shared = False

    def open(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        return MemoryLog(clock, settings=settings)

    def plant(self, log: Log, topic: str, partition: int) -> int:
        assert isinstance(log, MemoryLog)
        return log.plant_undecodable(topic, partition, b"\xff", "not UTF-8")


class TestMemoryAsOfRecords(TestMemory):
    """With the gaps and the limit that a log of records has."""

    limit = 1 << 20

    def open(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        return MemoryLog(clock, settings=settings, gap=7, limit=self.limit)
