"""A retry ladder: what could not be sent goes to a rung, a partition of an internal topic, until it is due again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.batch import TopicSpec
from penstock.clock import Clock
from penstock.stages.interface import Failure, Outcome, Output, Work

RUNGS_S = (10.0, 30.0, 60.0)
MOST = 4  # attempts
COLUMNS = [pa.field(name, pa.int64(), nullable=False) for name in ("n", "attempts", "due")]
RETRY = TopicSpec("retry", pa.schema(COLUMNS), len(RUNGS_S))

Place = tuple[str, int, int]  # topic, partition, position


@dataclass
class Outside:
    """Where events are sent to: it is not in the log, so what is sent and not committed is sent again."""

    fails: Callable[[int], bool]
    tries: dict[int, int] = field(default_factory=dict)
    got: list[int] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)  # sent, and committed as such
    repeated: list[int] = field(default_factory=list)  # sent again though settled

    def send(self, n: int) -> bool:
        if n in self.settled:
            self.repeated.append(n)
        self.tries[n] = self.tries.get(n, 0) + 1
        if self.fails(n):
            return False
        self.got.append(n)
        return True


@dataclass
class Sender:
    """One member's: what it sent in the pass in hand, by where it came from."""

    outside: Outside
    sent: dict[Place, int] = field(default_factory=dict)

    def begin(self) -> None:
        """What was sent before and is not committed by now was dropped."""
        self.sent.clear()

    def send(self, place: Place, n: int) -> bool:
        if not self.outside.send(n):
            return False
        self.sent[place] = n
        return True

    def committed(self, topic: str, partition: int, through: int) -> None:
        done = [(t, p, at) for t, p, at in self.sent if (t, p) == (topic, partition) and at <= through]
        self.outside.settled.update(self.sent.pop(place) for place in done)


def places(work: Work) -> list[Place]:
    at = zip(work.partitions.tolist(), work.positions.tolist(), strict=True)
    return [(work.topic, partition, position) for partition, position in at]


def on_rungs(ns: list[int], attempts: list[int], rungs: list[int], parents: list[int], now: int) -> Output:
    due = [now + round(RUNGS_S[rung] * 1e6) for rung in rungs]
    rows = pa.RecordBatch.from_arrays([pa.array(each, pa.int64()) for each in (ns, attempts, due)], schema=RETRY.schema)
    return Output(RETRY.name, rows, np.array(parents, np.int64), partitions=np.array(rungs, np.int32))


class Deliver:
    """The first attempt."""

    name, source = "deliver", "in"

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender, self._clock = sender, clock

    def handle(self, work: Work) -> Outcome:
        self._sender.begin()
        ns = work.rows.column("n").to_pylist()
        left = [row for row, place in enumerate(places(work)) if not self._sender.send(place, ns[row])]
        if not left:
            return Outcome()
        failed = [ns[row] for row in left]
        return Outcome([on_rungs(failed, [1] * len(left), [0] * len(left), left, self._clock.now())])


class Ladder:
    """The others. The head of a rung is always the next that is due."""

    name, source = "ladder", RETRY.name

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender, self._clock = sender, clock

    def handle(self, work: Work) -> Outcome:
        self._sender.begin()
        now, where = self._clock.now(), places(work)
        ns, attempts, due = (work.rows.column(name).to_numpy() for name in ("n", "attempts", "due"))
        ripe, done, again = self._ripe(work, due, now)
        failed: list[int] = []
        dead: list[Failure] = []
        for row in ripe:
            if self._sender.send(where[row], int(ns[row])):
                continue
            if attempts[row] + 1 >= MOST:
                dead.append(Failure(row, "GaveUp", "no answer", "", int(attempts[row]) + 1))
            else:
                failed.append(row)
        rungs = [min(int(attempts[row]), len(RUNGS_S) - 1) for row in failed]
        tried = [int(attempts[row]) + 1 for row in failed]
        outputs = [on_rungs([int(ns[row]) for row in failed], tried, rungs, failed, now)] if failed else []
        return Outcome(outputs, dead, done=done, again=again)

    @staticmethod
    def _ripe(work: Work, due: npt.NDArray[np.int64], now: int) -> tuple[list[int], dict[int, int], dict[int, float]]:
        """The rows that are due, through where that is, and in how many seconds the first of the others is."""
        rows: list[int] = []
        done: dict[int, int] = {}
        again: dict[int, float] = {}
        for partition in np.unique(work.partitions).tolist():
            mine = np.flatnonzero(work.partitions == partition)
            waiting = np.flatnonzero((due[mine] > now) & (not work.again))  # what was put back waits for nothing
            ripe = mine[: waiting[0]] if len(waiting) else mine
            if len(ripe):
                done[partition] = int(work.positions[ripe[-1]])
                rows += ripe.tolist()
            if len(waiting):
                again[partition] = float(due[mine[waiting[0]]] - now) / 1e6
        return sorted(rows), done, again
