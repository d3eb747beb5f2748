"""One run of one program: warmed up, then all events at once, and every prediction looked at before it counts.

The events are stored before the clock starts, in a transaction that is still open: nobody sees them. It is committed
when the program has scored the first ones, so that neither starting up nor loading the model is in the figure.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from bench.kafka import events
from bench.kafka.events import Record
from bench.kafka.programs import Program, Unavailable
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # documented, and not marked as exported

from penstock.bench.bare import BareDeparture
from penstock.bench.stack import role_of

WARM = 10_000  # events that are scored before the clock starts
LIBRARY = "librdkafka"  # the part of a program that its threads are
PATIENCE = 600.0  # seconds for the slowest program on a busy machine


@dataclass(frozen=True, slots=True)
class Run:
    """``parts``, ``broker``: seconds an event, user and system. ``rate``: events a second by the clock."""

    parts: Mapping[str, float]  # what its processes took, and apart from them librdkafka's own threads
    rate: float
    broker: float

    @property
    def cpu(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Job:
    brokers: str
    broker: int | None  # its process, where it is ours
    model: Path
    events: Sequence[BareDeparture]
    expected: np.ndarray

    def run(self, program: Program, name: str) -> Run:
        """Raises ``Unavailable`` for a program that cannot run here, ``AssertionError`` for wrong predictions."""
        total = WARM + program.events
        source, target = program.topics(name)
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
            own = Path(directory)
            if not program.workers:
                self._create(source, target)
            with started(program, self.brokers, name, self.model, own) as process:
                self._await_topics(source, target, process)
                feed = Feed(self.brokers, source)
                feed.send(events.records(program.encoding, self.events[:WARM]))
                output = Output(self.brokers, target, program.encoding)
                output.wait_for(WARM, process)
                feed.hold(events.records(program.encoding, self.events[WARM:total]))
                before, broker, start = parts(process.pid), cpu(self.broker), time.perf_counter()
                feed.release()
                output.wait_for(total, process)
                seconds = time.perf_counter() - start
                after, served = parts(process.pid), cpu(self.broker) - broker
            output.close()
        events.check(program.encoding, output.values, self.expected[:total])
        spent = {part: (taken - before.get(part, 0.0)) / program.events for part, taken in after.items()}
        return Run(spent, program.events / seconds, served / program.events)

    def _create(self, *topics: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.brokers})
        made = admin.create_topics([NewTopic(topic, events.PARTITIONS, 1) for topic in topics])
        for future in made.values():
            future.result()

    def _await_topics(self, source: str, target: str, process: subprocess.Popen[bytes]) -> None:
        admin = AdminClient({"bootstrap.servers": self.brokers})
        _until(lambda: {source, target} <= admin.list_topics(timeout=10).topics.keys(), process, "made its topics")


class Feed:
    """Writes the events: some to be seen at once, the others when they are released."""

    def __init__(self, brokers: str, topic: str) -> None:
        settings = {"bootstrap.servers": brokers, "compression.type": "lz4", "linger.ms": 5}
        own = {"transactional.id": f"{topic}-feed", "transaction.timeout.ms": 900_000}
        self._producer, self._topic = Producer({**settings, **own, "queue.buffering.max.messages": 1_000_000}), topic
        self._producer.init_transactions(60)

    def send(self, records: Sequence[Record]) -> None:
        self.hold(records)
        self.release()

    def hold(self, records: Sequence[Record]) -> None:
        self._producer.begin_transaction()
        for record in records:
            self._producer.produce(self._topic, record.value, record.key, record.partition)
        if left := self._producer.flush(120):
            raise RuntimeError(f"{left} events could not be stored")

    def release(self) -> None:
        self._producer.commit_transaction(60)


class Output:
    """What has arrived in the topic of predictions."""

    def __init__(self, brokers: str, topic: str, encoding: str) -> None:
        group = {"group.id": f"{topic}-output", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer({"bootstrap.servers": brokers, "auto.offset.reset": "earliest", **group})
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(events.PARTITIONS)])
        self._encoding = encoding
        self.values: list[bytes] = []
        self._events = 0

    def wait_for(self, count: int, process: subprocess.Popen[bytes]) -> None:
        _until(lambda: self._take() >= count, process, f"made {count:,} predictions")

    def close(self) -> None:
        """Takes in what came beyond what was waited for."""
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            self._take()
        self._consumer.close()

    def _take(self) -> int:
        for message in self._consumer.consume(10_000, 0.02):
            if message.error() is not None:
                raise KafkaException(message.error())
            value = message.value() or b""
            self.values.append(value)
            self._events += events.count(self._encoding, value)
        return self._events


@contextmanager
def started(
    program: Program, brokers: str, run: str, model: Path, directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The program, ended with the block. What it says is shown only when it ends by itself."""
    command, environ = program.command(brokers, run, directory / "data"), program.environ(brokers, run, model)
    with (directory / "said").open("wb+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environ, cwd=directory)
        try:
            yield process
        except Unavailable as error:
            said.seek(0)
            lines = [line for line in said.read().decode(errors="replace").splitlines() if _is_text(line)]
            raise Unavailable(f"{error}: {lines[-1] if lines else 'it said nothing'}") from None
        finally:
            _end(process)


def _is_text(line: str) -> bool:
    """Not only what moves a terminal's cursor."""
    return any(word.isalpha() for word in line.split())


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all its children: some leave theirs behind."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            pass


def cpu(pid: int | None) -> float:
    """User and system seconds of a process and its children; 0 for none."""
    return 0.0 if pid is None else sum(parts(pid).values())


def parts(pid: int) -> dict[str, float]:
    """User and system seconds of a process and its children, by what they do.

    Threads that have ended are in the sum of their process, and in no list of threads.
    """
    top, found = psutil.Process(pid), defaultdict[str, float](float)
    for process in [top, *top.children(recursive=True)]:
        whole = sum(process.cpu_times()[:2])
        own = sum(t.user_time + t.system_time for t in process.threads() if _is_librdkafkas(process.pid, t.id))
        found[LIBRARY] += own
        found[role_of(process.cmdline())] += whole - own
    return found


def _is_librdkafkas(process: int, thread: int) -> bool:
    """It names its threads; where the system does not tell names, none is."""
    try:
        return Path(f"/proc/{process}/task/{thread}/comm").read_text().startswith("rdk:")
    except OSError:
        return False


def _until(holds: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    limit = time.monotonic() + PATIENCE
    while not holds():
        if process.poll() is not None:
            raise Unavailable(f"it ended with {process.returncode} before it had {what}")
        if time.monotonic() > limit:
            raise Unavailable(f"it had not {what} after {PATIENCE:.0f} s")
