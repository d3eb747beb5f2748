"""What is looked up for the metrics, from a log that does not always answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.errors import LogError, LogRefused, LogUnreachable
from penstock.log.interface import GroupState
from penstock.log.memory import MemoryLog
from penstock.run.compose.bootstrap import open_registry
from penstock.run.compose.gauges import Gauges
from penstock.telemetry.metrics import exposition

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False)])


class Moody(MemoryLog):
    """A log whose brokers may be away, or refuse."""

    mood: LogError | OSError | None = None

    def groups(self) -> Sequence[GroupState]:
        if self.mood is not None:
            raise self.mood
        return super().groups()


@pytest.fixture
def log() -> Moody:
    log = Moody(ManualClock())
    for spec in (TopicSpec("moody", NUMBERS, 1), TopicSpec(SYSTEM, partitions=1)):
        log.create(spec)
    log.append([Write("moody", 0, pa.record_batch([pa.array([1, 2, 3])], schema=NUMBERS))])
    log.reader("of-moody", ["moody"], "m").read(1, 0)
    return log


def lag() -> float:
    lines = exposition().decode().splitlines()
    (line,) = [text for text in lines if text.startswith("penstock_consumer_lag_events") and "of-moody" in text]
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("mood", [LogUnreachable("no brokers"), LogRefused("no right"), OSError("too many files")])
def test_a_log_that_does_not_answer_is_told_once_and_asked_again(
    log: Moody, mood: LogError | OSError, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    gauges = Gauges(log, open_registry(log, clock, "test"), clock)
    gauges.look()
    assert not gauges.why and lag() == 3
    with caplog.at_level(logging.WARNING):
        log.mood = mood
        for _ in range(2):
            gauges.look()
            assert gauges.why == str(mood) and lag() == 3
        log.mood = None
        log.append([Write("moody", 0, pa.record_batch([pa.array([4])], schema=NUMBERS))])
        gauges.look()
        assert not gauges.why and lag() == 4
        log.mood = mood
        gauges.look()
    assert [record.__dict__["fields"]["reason"] for record in caplog.records] == [str(mood)] * 2
