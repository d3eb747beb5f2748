"""Members of groups over one log that come, die at any commit and are taken over in the middle of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa

from penstock.batch import TopicSpec, Write
from penstock.clock import ManualClock
from penstock.log.interface import Advance, Log
from penstock.stages.emit import Emitter
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.stages.interface import Stage
from penstock.stages.pump import Pump

IN = TopicSpec("in", pa.schema([pa.field("n", pa.int64(), nullable=False)]), 4)
PIECE = 20  # events published at once

Committed = Callable[[str, int, int], None]  # topic, partition, through


class Killed(BaseException):
    """The process died here."""


@dataclass
class Mortal:
    """A reader whose process may die at a commit, before or after it is stored, or lose its name to another.

    ``order``: how the commit is made; all but "together" are planted faults.
    """

    reader: Any
    lives: Lives
    name: str
    committed: Committed
    order: str = "together"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        odds, at = self.lives.odds, self.lives.rng.random()
        if at < odds:
            raise Killed
        if at < 2 * odds or (odds and self.lives.begun == 1):  # at the first commit of all, that somebody does
            self.lives.take_over(self.name)
        if self.order == "together" or not outputs:
            self.reader.commit(done, outputs)
        else:
            positions_first = self.order == "positions first"
            self.reader.commit(*((done, []) if positions_first else ([], outputs)))
            if self.lives.rng.random() < 4 * odds:
                raise Killed
            self.reader.commit(*(([], outputs) if positions_first else (done, [])))
        for advance in done:
            self.committed(advance.topic, advance.partition, advance.through)
        if at > 1 - odds:
            raise Killed


@dataclass
class Lives:
    """``stages``: those of one member, each with who is told what was committed of it."""

    log: Log
    rng: Random
    clock: ManualClock
    internal: TopicSpec
    stages: Callable[[], list[tuple[Stage, Committed]]]
    count: int = 440  # events
    rounds: int = 4_000
    odds: float = 0.06  # of each of three ways to die at a commit
    jumps: Sequence[float] = (1.0, 3.0)  # seconds that pass when nothing is to do
    order: str = "together"
    members: dict[str, list[Pump]] = field(default_factory=dict)
    published: int = 0
    begun: int = 0  # members that ever were

    def __post_init__(self) -> None:
        self.topics = {topic.name: topic for topic in (IN, self.internal, DEAD_TOPIC)}
        for topic in self.topics.values():
            self.log.create(topic)

    def run(self, finished: Callable[[], bool]) -> None:
        """Until all is published and dealt with; what is not after so many rounds, the checks find. Somebody dies."""
        for _ in range(self.rounds):
            self._publish()
            self._come_or_go()
            if self._step(self.rng.choice(sorted(self.members))):
                continue
            if self.published == self.count and finished():
                break
            self.clock.advance(self.rng.choice(self.jumps))
        assert self.begun > 1 or not self.odds, "nobody died"

    def take_over(self, name: str) -> None:
        """Another goes by this name, and has begun with what the first was at."""
        self.join(name)
        odds, self.odds = self.odds, 0.0
        for pump in self.members[name]:
            pump.step(0.0)
        self.odds = odds

    def join(self, name: str) -> None:
        self.begun += 1
        self.members[name] = []
        for stage, committed in self.stages():
            reader: Any = Mortal(self.log.reader(stage.name, [stage.source], name), self, name, committed, self.order)
            emitter = Emitter(stage.name, stage.source, "code", self.topics)
            self.members[name].append(Pump(stage, reader, emitter, self.clock, rows=lambda: 64))

    def rows(self, topic: str) -> list[dict[str, Any]]:
        reader = self.log.reader(None, [topic], "test")
        found: list[dict[str, Any]] = []
        while batches := reader.read(100_000, 0.0):
            found += [row for batch in batches for row in batch.rows.to_pylist()]
        reader.close()
        return found

    def _publish(self) -> None:
        if self.published < self.count and self.rng.random() < 0.4:
            ns = range(self.published, self.published + PIECE)
            parts = [[n for n in ns if n % IN.partitions == p] for p in range(IN.partitions)]
            rows = [pa.RecordBatch.from_arrays([pa.array(part, pa.int64())], schema=IN.schema) for part in parts]
            self.log.append([Write("in", p, part) for p, part in enumerate(rows)])
            self.published += PIECE

    def _come_or_go(self) -> None:
        if "a" not in self.members:
            self.join("a")
        if "b" not in self.members:
            if self.rng.random() < self.odds / 3:
                self.join("b")
        elif self.rng.random() < self.odds / 3:
            for pump in self.members.pop("b"):
                pump._reader.close()

    def _step(self, name: str) -> int:
        """Rows dealt with. A member that was killed, or lost its name meanwhile, makes no further step."""
        pumps = self.members[name]
        moved = 0
        for pump in pumps:
            try:
                moved += pump.step(0.0)
            except Killed:
                self.join(name)
            if self.members.get(name) is not pumps:
                return moved + 1
        return moved
