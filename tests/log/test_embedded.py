import time
from pathlib import Path

from penstock.batch import TopicSpec
from penstock.clock import Clock
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Log
from penstock.settings import Settings
from penstock.testing.log_contract import LogContract


class TestEmbedded(LogContract):
    def open(self, directory: Path, clock: Clock, settings: Settings) -> Log:
        return EmbeddedLog(directory, clock=clock, settings=settings)

    def silence(self, log: Log) -> None:
        """What SIGSTOP does to a process: its lock stays, its heart stops."""
        assert isinstance(log, EmbeddedLog)
        pulse = log._pulse
        assert pulse is not None
        pulse._look = lambda: time.sleep(0)  # type: ignore[method-assign]


def test_a_topic_keeps_what_it_was_declared_with(tmp_path: Path) -> None:
    topic = TopicSpec("t", partitions=2, key="json", retain_us=5, encoding="json", source="/fraud/t")
    for _ in range(2):
        log = EmbeddedLog(tmp_path)
        try:
            log.create(topic)
            assert log.topics() == [topic]
        finally:
            log.close()
