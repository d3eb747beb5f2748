"""Writers and movers on one cluster, and an independent look at what they left there."""

from __future__ import annotations

import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.log.kafka import child
from tests.log.kafka.child import PARTITIONS, SETTINGS, opened, rows

from penstock.batch import Batch, Write
from penstock.errors import LogError
from penstock.log.interface import Reader
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.log import KafkaLog

CHILD = Path(child.__file__)
PATIENCE = 90.0  # seconds that any single thing may take before the test gives up
LAST = 1 << 60  # numbers from here on end a part of the test: nothing before them is on its way any more
A_LIFE = 100_000_000  # numbers that one writer may use


def eventually(holds: Callable[[], Any], what: str, within: float = PATIENCE) -> None:
    limit = time.monotonic() + within
    while not holds():
        assert time.monotonic() < limit, f"not within {within:.0f} s: {what}"
        time.sleep(0.1)


def read_on(reader: Reader, hand: list[Batch]) -> list[Batch]:
    """All that is in hand by now: what comes next is put to it."""
    hand.extend(reader.read(10, 0.2))
    return hand


@dataclass
class Process:
    """A child, and what it has said so far."""

    popen: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    _lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._ears.start()

    def says(self, beginning: str | tuple[str, ...], within: float = PATIENCE) -> None:
        """Waits until it says such a line; those before are passed over."""
        limit = time.monotonic() + within
        while True:
            try:
                line = self._lines.get(timeout=max(limit - time.monotonic(), 0.01))
            except queue.Empty:
                raise AssertionError(f"it never said {beginning!r}, but {self.said[-5:]}") from None
            if line.startswith(beginning):
                return

    def forget(self) -> None:
        """What it has said so far is not waited for any more."""
        while not self._lines.empty():
            self._lines.get()

    def end(self) -> int:
        """SIGKILL; its exit code. All that it said is known afterwards."""
        self.popen.kill()
        return self.wait()

    def wait(self) -> int:
        code = self.popen.wait(PATIENCE)
        self._ears.join(PATIENCE)
        return code

    def _listen(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            for line in lines:
                self.said.append(line.strip())
                self._lines.put(line.strip())


class Moving:
    """``in`` and ``out`` in a namespace of their own."""

    def __init__(self, brokers: str, namespace: str, encoding: str) -> None:
        self.brokers, self.namespace, self.encoding = brokers, namespace, encoding
        self.acknowledged: dict[int, list[int]] = {p: [] for p in range(PARTITIONS)}
        self.children: list[Process] = []
        self.writers: dict[int, Process] = {}
        self._lives = self._parts = 0
        opened(brokers, namespace, encoding).close()

    def start(self, role: str, *arguments: object, slot: str | None = None) -> Process:
        command = [sys.executable, str(CHILD), role, self.brokers, self.namespace, self.encoding]
        environ = os.environ if slot is None else {**os.environ, "SLOT": slot}
        popen = subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environ)
        self.children.append(Process(popen))
        return self.children[-1]

    def write(self, partition: int, count: int, most: int = 7) -> Process:
        """A new writer; its numbers are above those of all before."""
        self._lives += 1
        self.writers[partition] = self.start("write", partition, self._lives * A_LIFE, count, most)
        return self.writers[partition]

    def note(self, partition: int) -> None:
        """What the writer that has ended was promised."""
        for line in self.writers.pop(partition).said:
            if line != "away":
                first, last = map(int, line.split())
                self.acknowledged[partition] += range(first, last + 1)

    def close(self) -> None:
        for process in self.children:
            process.end()

    # -- the end of it --------------------------------------------------------

    def finish(self, within: float = PATIENCE) -> None:
        """Waits until all that was written before has been moved."""
        self._parts += 1
        last = LAST + self._parts
        log = opened(self.brokers, self.namespace, self.encoding)
        try:
            log.append([Write("in", p, rows([last])) for p in range(PARTITIONS)])
        finally:
            log.close()
        eventually(lambda: all(last in ns for ns in self.stored("out").values()), "all has been moved", within)

    def stored(self, topic: str) -> dict[int, list[int]]:
        """All numbers of a topic by partition, as a ``read_committed`` reader of its own finds them.

        Brokers that are on their way back are waited for: nothing is never taken for their answer.
        """
        found: dict[int, list[int]] = {}
        eventually(lambda: self._read(topic, found), f"'{topic}' can be read", 3 * PATIENCE)
        return found

    def _read(self, topic: str, found: dict[int, list[int]]) -> bool:
        found.clear()
        found.update({p: [] for p in range(PARTITIONS)})
        log = KafkaLog(Address(self.brokers, self.namespace), settings=SETTINGS)
        try:
            reader = log.reader(None, [topic], "check")
            while batches := reader.read(100_000, 0):
                for batch in batches:
                    found[batch.partition] += pa.array(batch.rows.column("n")).to_pylist()
        except LogError:
            return False
        finally:
            log.close()
        return True

    def check_acknowledged(self) -> None:
        for partition, numbers in self.stored("in").items():
            assert all(a < b for a, b in pairwise(numbers)), "rows were doubled or reordered"
            lost = set(self.acknowledged[partition]) - set(numbers)
            assert not lost, f"{len(lost)} acknowledged rows are not there"

    def check_moved(self) -> None:
        """Every number that went in came out, once, in order."""
        came, left = self.stored("in"), self.stored("out")
        for partition in came:
            went, arrived = Counter(came[partition]), Counter(left[partition])
            lost, more = went - arrived, arrived - went
            assert left[partition] == came[partition], (
                f"partition {partition}: lost, doubled or reordered: {len(lost)} of {len(came[partition])} lost, "
                f"{sum(more.values())} doubled, such as {[*lost][:3]}, {[*more][:3]}"
            )


def kill_at_random(moving: Moving, kills: int, movers: int, pause: tuple[float, float], seed: int) -> None:
    """Writers and movers, one of which dies at each kill and starts again."""
    rng = random.Random(seed)
    for partition in range(PARTITIONS):
        moving.write(partition, A_LIFE)
    stages = [moving.start("move", f"worker-{n}") for n in range(movers)]
    for _ in range(kills):
        time.sleep(rng.uniform(*pause))
        if rng.random() < 0.7:
            victim = rng.randrange(movers)
            stages[victim].end()
            stages[victim] = moving.start("move", f"worker-{victim}")
        else:
            partition = rng.randrange(PARTITIONS)
            moving.writers[partition].end()
            moving.note(partition)
            moving.write(partition, A_LIFE)
    for partition, writer in list(moving.writers.items()):
        writer.end()
        moving.note(partition)
    moving.finish()


@pytest.fixture(params=["arrow", "json"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)
