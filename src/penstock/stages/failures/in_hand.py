"""Which rows user code has in hand, where it outlives the worker: so a row is found that ends the worker itself.

Who kills a runner leaves a worker that notices and isolates the row. Who ends the worker (a kill of the parent, the
kernel when memory is short) leaves nobody, and the next life would meet the same row for ever. It reads what the last
one had in hand, hands those rows over in ever smaller pieces, and dead-letters a row that ends it again and again
while no other row is with user code anywhere in the worker.

An innocent row must never be: a worker is also killed from outside. Only deaths by a signal count, none that the
supervisor dealt out, and none before the row was suspected; a row that passes once is free of all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from threading import Lock
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from ...batch import Indices
from ...clock import Clock
from ...runner.interface import RowFailure
from ..interface import Failure, Work

T = TypeVar("T")

Call = Callable[[Indices, float], tuple[T, Sequence[RowFailure]]]
"""Runs rows of the work within so many seconds: their result, and the rows (within the call) that have none."""

DEATHS = 3  # of the worker while it had this suspected row in hand and nothing else
CAREFUL_S = 60.0  # seconds after a death for which rows of one stage at a time are in hand: partitions may have moved
SPANS = 256  # that are written; of more only where they begin and end
GUILTY_ROWS = 64  # rows of one pass that end the worker
ANY = -1  # partition

_HEAD = struct.Struct("<qqq")  # spans, deaths before, is this a row that was suspected
_NUMBER = np.dtype("<i8")
_SPANS_AT = _HEAD.size
_GUILTY_AT = _SPANS_AT + SPANS * 3 * _NUMBER.itemsize  # partitions and positions, each one more than it is: 0 is none
SIZE_BYTES = _GUILTY_AT + GUILTY_ROWS * 2 * _NUMBER.itemsize  # bytes of one stage
_NOTHING = _HEAD.pack(0, 0, 0)


class OutlivingMemory(Protocol):
    """Bytes of one stage that outlive this process; zeros at first. ``how``: what ended the life before this one."""

    @property
    def how(self) -> str: ...

    def read(self) -> bytes: ...

    def write(self, data: bytes, start: int = 0) -> None: ...


class RowSpan(NamedTuple):
    """Rows of a partition, by their first and last position."""

    partition: int
    first: int
    last: int


class SuspectTurn:
    """Shared by a worker's stages. While one of them suspects rows, those of one stage at a time are in hand: else a
    death would be held against a slow row of another."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic() + CAREFUL_S
        self._one = Lock()
        self.suspecting = 0  # stages

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Yields whether no other stage has rows in hand."""
        if not self.suspecting or self._clock.monotonic() > self._until:
            yield False
            return
        with self._one:
            yield True


class InHand:
    """Of one stage; used by its thread alone. ``place``: of the user's code, for messages."""

    def __init__(self, slot: OutlivingMemory, turn: SuspectTurn, place: str) -> None:
        self._slot, self._turn, self._place = slot, turn, place
        self._how = slot.how
        self._suspects: list[RowSpan] = []
        self._deaths = 0
        self._guilty: set[tuple[int, int]] = set()
        if self._how:
            self._remember(slot.read())
        turn.suspecting += bool(self._suspects)
        slot.write(_NOTHING)
        self._keep_guilty()

    def watched(self, call: Call[T], work: Work) -> Call[T]:
        """The same call, with its rows written down for as long as it takes."""

        def handed(rows: Indices, limit: float) -> tuple[T, Sequence[RowFailure]]:
            with self._turn.taken() as alone:
                self._slot.write(self._written(_spans(work, rows), alone=alone and len(rows) == 1))
                try:
                    return call(rows, limit)
                finally:
                    self._slot.write(_NOTHING)

        return handed

    @property
    def is_wary(self) -> bool:
        """Is any row suspected, or guilty?"""
        return bool(self._suspects or self._guilty)

    def suspected(self, work: Work) -> Indices:
        """The rows of the work that were in hand when the worker died, in order."""
        found = np.zeros(len(work), bool)
        for partition, first, last in self._suspects:
            within = (first <= work.positions) & (work.positions <= last)
            found |= within if partition == ANY else within & (work.partitions == partition)
        return np.flatnonzero(found)

    def guilty(self, work: Work) -> Indices:
        """The rows of the work that the worker died of."""
        found = np.zeros(len(work), bool)
        for partition, position in self._guilty:
            found |= (work.partitions == partition) & (work.positions == position)
        return np.flatnonzero(found)

    def verdict(self, row: int) -> Failure:
        """On a guilty row."""
        reason = f"the worker died {DEATHS} times with this row alone in hand: {self._how}"
        return Failure(row, "WorkerDied", f"{self._place}: {reason}" if self._place else reason, "", DEATHS)

    def passed(self, work: Work) -> None:
        """Nothing of what the work holds is suspected any more, or guilty."""
        if not self.is_wary:
            return
        ends = {int(p): int(work.positions[work.partitions == p].max()) for p in np.unique(work.partitions)}
        if self._suspects:
            self._suspects = [s for s in self._suspects if s.partition != ANY and s.last > ends.get(s.partition, -1)]
            self._deaths = 0
            self._turn.suspecting -= not self._suspects
        self._guilty = {each for each in self._guilty if each[1] > ends.get(each[0], -1)}
        self._keep_guilty()

    def _written(self, spans: Sequence[RowSpan], *, alone: bool) -> bytes:
        if len(spans) > SPANS:
            spans = [RowSpan(ANY, min(s.first for s in spans), max(s.last for s in spans))]
        known = alone and list(spans) == self._suspects
        head = _HEAD.pack(len(spans), self._deaths if known else 0, known)
        return head + struct.pack(f"<{3 * len(spans)}q", *chain.from_iterable(spans))

    def _remember(self, data: bytes) -> None:
        """What the life before had in hand, and which rows it knew to be guilty."""
        count, deaths, known = _HEAD.unpack_from(data)
        spans = np.frombuffer(data, _NUMBER, 3 * count, _SPANS_AT).reshape(count, 3)
        guilty = np.frombuffer(data, _NUMBER, 2 * GUILTY_ROWS, _GUILTY_AT).reshape(GUILTY_ROWS, 2) - 1
        self._guilty = {(partition, position) for partition, position in guilty.tolist() if position >= 0}
        self._suspects = [RowSpan(*each) for each in spans.tolist()]
        self._deaths = deaths + known
        if self._deaths >= DEATHS:
            self._guilty |= {(span.partition, span.first) for span in self._suspects}
            self._suspects, self._deaths = [], 0

    def _keep_guilty(self) -> None:
        kept = np.zeros((GUILTY_ROWS, 2), _NUMBER)
        for place, each in enumerate(sorted(self._guilty)[:GUILTY_ROWS]):
            kept[place] = each
            kept[place] += 1
        self._slot.write(kept.tobytes(), _GUILTY_AT)


def _spans(work: Work, rows: Indices) -> list[RowSpan]:
    """Of each run of rows of one partition: from the first to the last."""
    if len(rows) == 1:  # once an event where events come one by one, so without the arrays below
        row = int(rows[0])
        return [RowSpan(int(work.partitions[row]), int(work.positions[row]), int(work.positions[row]))]
    partitions, positions = work.partitions, work.positions
    if len(rows) < len(work):
        partitions, positions = partitions[rows], positions[rows]
    last = (partitions[1:] != partitions[:-1]).nonzero()[0]  # of each run but the last one
    starts, ends = [0, *(last + 1).tolist()], [*last.tolist(), len(rows) - 1]
    found = zip(partitions[starts].tolist(), positions[starts].tolist(), positions[ends].tolist(), strict=True)
    return [RowSpan(*each) for each in found]
