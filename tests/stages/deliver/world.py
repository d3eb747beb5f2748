"""Members that route one topic to several subscriptions, and climb its ladder, over any log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from tests.stages.deliver.outside import Desk, Endpoint

from penstock.batch import DEAD, SYSTEM, Batch, Indices, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.interface import Log, Seek
from penstock.log.memory import MemoryLog
from penstock.stages.deliver.attempts import RetryPolicy
from penstock.stages.deliver.ladder import Ladder
from penstock.stages.deliver.retry import RETRY_TOPIC
from penstock.stages.deliver.router import Router
from penstock.stages.deliver.state import DeliveryState
from penstock.stages.deliver.subscriptions import Subscription
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.stages.interface import Outcome, Work
from penstock.system.snapshots import SNAPSHOT_TOPIC
from penstock.system.view import View
from penstock.testing.crashes import CrashingMembers

IN = TopicSpec("in", pa.schema([pa.field("n", pa.int64(), nullable=False)]), 3)
SYSTEM_TOPIC = TopicSpec(SYSTEM, partitions=1)
INTERNAL = (SYSTEM_TOPIC, SNAPSHOT_TOPIC, RETRY_TOPIC, DEAD_TOPIC)


@dataclass(frozen=True)
class Wanted:
    """Subscription ``name`` wants each number that ``every`` divides."""

    name: str
    endpoint: Endpoint
    every: int = 1
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    more: Mapping[str, Any] = field(default_factory=dict)


class LateReader:
    """Of ``penstock.system``, as Kafka's may be: a transaction that is open hides what was committed behind it, here
    for a second."""

    def __init__(self, reader: Any, clock: ManualClock) -> None:
        self._reader, self._clock = reader, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        found = []
        for batch in self._reader.read(max_events, wait):
            seen = int(np.searchsorted(batch.appended, self._clock.now() - 1_000_000, side="right"))
            if seen < len(batch):
                self._reader.seek(Seek(batch.topic, batch.partition, int(batch.positions[seen])))
            if seen:
                found.append(batch.slice(0, seen))
        return found


class LateLog:
    """For a view of the system alone."""

    def __init__(self, log: Any, clock: ManualClock) -> None:
        self._log, self._clock = log, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def reader(self, group: str | None, topics: Sequence[str], member: str, **more: Any) -> LateReader:
        return LateReader(self._log.reader(group, topics, member, **more), self._clock)


@dataclass(frozen=True)
class Every:
    wanted: list[Wanted]

    def match(self, batch: Batch) -> tuple[Indices, Indices]:
        found = [self.only(s, batch) for s in range(len(self.wanted))]
        whose = [np.full(len(rows), s, np.int64) for s, rows in enumerate(found)]
        return np.concatenate(found), np.concatenate(whose)

    def only(self, subscription: int, batch: Batch) -> Indices:
        return np.flatnonzero(batch.rows.column("n").to_numpy() % self.wanted[subscription].every == 0)


class SettlingRouter(Router):
    """Its endpoints have answered by the time that it looks."""

    desks: list[Desk]

    def handle(self, work: Work) -> Outcome:
        for desk in self.desks:
            desk.settle()
        return super().handle(work)

    def look(self) -> None:
        """What is stored of its subscriptions, which in a courier a thread looks for each second."""
        self._view.refresh()
        for subscription in self._subscriptions:
            subscription.learn(self._positions)


class SettlingLadder(Ladder):
    desks: list[Desk]

    def handle(self, work: Work) -> Outcome:
        for desk in self.desks:
            desk.settle()
        return super().handle(work)


class World(CrashingMembers):
    """``count`` numbers published to ``in``, one partition a number."""

    def __init__(
        self,
        log: Log,
        seed: int,
        clock: ManualClock,
        wanted: list[Wanted],
        count: int = 300,
        piece: int = 20,
        **more: Any,
    ) -> None:
        self.wanted, self.count = wanted, count
        self.system = log if clock.passes or not isinstance(log, MemoryLog) else LateLog(log, clock)
        topics = {topic.name: topic for topic in (IN, *INTERNAL)}
        for topic in topics.values():
            log.create(topic)
        pieces = [piece_of(range(first, min(first + piece, count))) for first in range(0, count, piece)]
        rng = Random(seed)
        more = {"jumps": (0.02, 0.1, 1.0, 5.0)} | more
        super().__init__(log, rng, clock, topics, self._stages, pieces, **more)

    def subscriptions(self) -> list[Subscription]:
        return [Subscription(w.name, Desk(w.endpoint, self.rng, self.clock), w.policy, **w.more) for w in self.wanted]

    def router(self) -> SettlingRouter:
        subscriptions = self.subscriptions()
        view = View(self.system, [DeliveryState()], self.clock, "test")  # type: ignore[arg-type]
        catch_up = self.log.reader(None, [IN.name], "behind")
        log: Any = self.log

        def ends() -> dict[int, int]:
            return {state.partition: state.end for state in log.partitions(IN.name)}

        found = SettlingRouter(IN, "app", subscriptions, Every(self.wanted), view, catch_up, ends, self.clock)
        found.desks = [s.destination for s in subscriptions]  # type: ignore[misc]
        return found

    def ladder(self) -> SettlingLadder:
        subscriptions = {s.name: s for s in self.subscriptions()}
        found = SettlingLadder("app", {IN.name: IN}, subscriptions, self.clock)
        found.desks = [s.destination for s in subscriptions.values()]  # type: ignore[misc]
        return found

    def _stages(self) -> list[Any]:
        return [(self.router(), lambda *_: None), (self.ladder(), lambda *_: None)]

    def run_all(self) -> None:
        self.run(lambda: not self.missing())

    def letters(self) -> list[dict[str, Any]]:
        return self.rows(DEAD)

    def missing(self) -> dict[str, set[int]]:
        """What neither reached its endpoint nor was given up."""
        given_up: dict[str, set[int]] = {}
        for letter in self.letters():
            given_up.setdefault(letter["stage"], set()).add(int(letter["data"].split(":")[1].strip("} ")))
        found = {
            w.name: set(range(0, self.count, w.every)) - numbers(w.endpoint) - given_up.get(w.name, set())
            for w in self.wanted
        }
        return {name: lost for name, lost in found.items() if lost}

    def rows(self, topic: str) -> list[dict[str, Any]]:
        reader = self.log.reader(None, [topic], "test")
        found: list[dict[str, Any]] = []
        while batches := reader.read(100_000, 0.0):
            found += [row for batch in batches for row in batch.rows.to_pylist()]
        reader.close()
        return found


def numbers(endpoint: Endpoint) -> set[int]:
    return {int(body.split(":")[1].strip("} ")) for body in endpoint.got}


def piece_of(ns: range) -> list[Write]:
    parts = [[n for n in ns if n % IN.partitions == p] for p in range(IN.partitions)]
    rows = [pa.RecordBatch.from_arrays([pa.array(part, pa.int64())], schema=IN.schema) for part in parts]
    return [Write(IN.name, p, part) for p, part in enumerate(rows)]
