"""Members of groups over one log that come, crash at any commit and are taken over in the middle of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ..batch import TopicSpec, Write
from ..clock import ManualClock
from ..log.interface import Advance, Log, Reader
from ..stages.emit import Emitter
from ..stages.interface import Stage
from ..stages.pump import Pump

OnCommit = Callable[[str, int, int], None]  # topic, partition, through


class Crashed(BaseException):
    """The process died here."""


@dataclass
class CrashingReader:
    """A reader whose process may die at a commit, before or after it is stored, or lose its name to another."""

    reader: Any
    members: CrashingMembers
    name: str
    committed: OnCommit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        odds, at = self.members.odds, self.members.rng.random()
        if at < odds:
            raise Crashed
        if at < 2 * odds or (odds and self.members.begun == 1):  # at the first commit of all, that somebody does
            self.members.take_over(self.name)
        self.store(done, outputs)
        for advance in done:
            self.committed(advance.topic, advance.partition, advance.through)
        if at > 1 - odds:
            raise Crashed

    def store(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        self.reader.commit(done, outputs)


@dataclass
class CrashingMembers:
    """``stages``: those of one member, each with who is told what was committed of it. ``pieces``: what is published,
    one after the other."""

    log: Log
    rng: Random
    clock: ManualClock
    topics: Mapping[str, TopicSpec]
    stages: Callable[[], Sequence[tuple[Stage, OnCommit]]]
    pieces: Sequence[Sequence[Write]]
    rounds: int = 4_000
    odds: float = 0.06  # of each of three ways to die at a commit
    jumps: Sequence[float] = (1.0, 3.0)  # seconds that pass when nothing is to do
    reader: Callable[[Any, CrashingMembers, str, OnCommit], CrashingReader] = CrashingReader
    members: dict[str, list[tuple[Pump, Reader]]] = field(default_factory=dict)
    published: int = 0  # pieces
    begun: int = 0  # members that ever were

    def run(self, finished: Callable[[], bool]) -> None:
        """Until all is published and dealt with; what is not after so many rounds, the checks find. Somebody dies."""
        for _ in range(self.rounds):
            if self.published < len(self.pieces) and self.rng.random() < 0.4:
                self.log.append(self.pieces[self.published])
                self.published += 1
            self._come_or_go()
            if self._step(self.rng.choice(sorted(self.members))):
                continue
            if self.published == len(self.pieces) and finished():
                break
            self.clock.advance(self.rng.choice(self.jumps))
        assert self.begun > 1 or not self.odds, "nobody died"

    def take_over(self, name: str) -> None:
        """Another goes by this name, and has begun with what the first was at."""
        self.join(name)
        odds, self.odds = self.odds, 0.0
        for pump, _ in self.members[name]:
            pump.step(0.0)
        self.odds = odds

    def join(self, name: str) -> None:
        self.begun += 1
        self.members[name] = []
        for stage, committed in self.stages():
            reader: Any = self.reader(self.log.reader(stage.name, [stage.source], name), self, name, committed)
            emitter = Emitter(stage.name, stage.source, "code", self.topics)
            self.members[name].append((Pump(stage, reader, emitter, self.clock, rows=lambda: 64), reader))

    def _come_or_go(self) -> None:
        if "a" not in self.members:
            self.join("a")
        if "b" not in self.members:
            if self.rng.random() < self.odds / 3:
                self.join("b")
        elif self.rng.random() < self.odds / 3:
            for _, reader in self.members.pop("b"):
                reader.close()

    def _step(self, name: str) -> int:
        """Rows dealt with. A member that was killed, or lost its name meanwhile, makes no further step."""
        pumps = self.members[name]
        moved = 0
        for pump, _ in pumps:
            try:
                moved += pump.step(0.0)
            except Crashed:
                self.join(name)
            if self.members.get(name) is not pumps:
                return moved + 1
        return moved
