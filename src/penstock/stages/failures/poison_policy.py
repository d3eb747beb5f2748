"""What a failure means: a row is poison, or the stage is sick. The state machine is decision record 0004."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...clock import Clock
from ...errors import PenstockError, PredictionInvalid, RunnerDied, TaskFailed
from ...runner.interface import RowFailure
from ..interface import Failure, Work

FINAL = 0.9
"""A row is judged at this share of ``poison_after`` at the latest."""


class Sick(PenstockError):
    """Nothing can be said of the rows: hold their positions, back off, try again.

    ``unavailable``: it is known that the rows are not at fault, so that no time counts against them.
    ``retry_within``: seconds after which a held row is due for its verdict, so the pump waits no longer than that.
    ``poison``: head rows of their partitions whose time is up; they alone may be dead-lettered and advanced past.
    ``alone``: what was said of rows that failed by themselves, though nothing follows from it yet.
    """

    alone: Sequence[Failure] = ()

    def __init__(
        self,
        reason: str,
        *,
        unavailable: bool = False,
        retry_within: float | None = None,
        poison: Sequence[Failure] = (),
        traceback: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unavailable = unavailable
        self.retry_within = retry_within
        self.poison = poison
        self.traceback = traceback  # of the user's code, where that raised


class NotYet(Sick):
    """Not an error: what the stage needs does not exist yet. The pump looks again soon, without backing off."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call gave nothing. ``row`` counts within the work; ``died``: the runner was lost in it."""

    error: str
    reason: str
    traceback: str = ""
    transient: bool = False
    died: bool = False
    row: int | None = None
    reported: bool = False  # by the runner, which told it apart from rows that passed

    @classmethod
    def of(cls, error: TaskFailed | RunnerDied | PredictionInvalid, rows: Sequence[int]) -> Fault:
        """Raises ``Sick`` for what says itself that a dependency is away."""
        if isinstance(error, TaskFailed):
            if error.unavailable:
                raise Sick(str(error), unavailable=True, traceback=error.traceback) from error
            return cls(error.error, error.reason, error.traceback, error.transient)
        if isinstance(error, RunnerDied):
            known = error.row is not None and error.row < len(rows)
            return cls("RunnerDied", error.reason, died=True, row=rows[error.row] if known else None)  # type: ignore[index]
        return cls("PredictionInvalid", str(error))

    @classmethod
    def from_report(cls, failure: RowFailure) -> Fault:
        return cls(failure.error, failure.reason, failure.traceback, failure.transient, reported=True)

    def verdict(self, row: int, attempts: int) -> Failure:
        return Failure(row, self.error, self.reason, self.traceback, attempts)


@dataclass(slots=True)
class HeldRow:
    """The first row of a partition, while its stage is sick."""

    position: int
    since: float  # monotonic
    attempts: int = 0


class PoisonPolicy:
    """Remembers across retries how long the head of each partition has been failing, for one stage.

    A head is judged within ``poison_after`` seconds of the beginning of the pass that it first failed in, as long as
    two failing passes and ``timeout`` seconds for each head fit into them; else in the first pass after.
    """

    def __init__(self, clock: Clock, poison_after: float, timeout: float) -> None:
        self._clock = clock
        self._after = poison_after
        self._timeout = timeout
        self._held: dict[int, HeldRow] = {}
        self._began = 0.0
        self._took = 0.0  # seconds of the last pass that failed
        self._due: frozenset[int] = frozenset()
        self.retries = 0  # in a row; seeds the choice of probes, so that each retry tries others

    def begin(self, work: Work) -> list[int]:
        """A pass over the work begins. Returns the head rows whose time is up: this pass is to judge them."""
        self._began = self._clock.monotonic()
        due = [row for row, held in self._heads(work) if held is not None and self._left(held) <= 0]
        self._due = frozenset(due)
        return due

    def forget(self, work: Work) -> None:
        """The work is done."""
        self.retries = 0
        if self._held:
            for partition in np.unique(work.partitions).tolist():
                self._held.pop(partition, None)

    def hold(self, work: Work, sick: Sick, faults: Callable[[int], Fault | None]) -> Sick:
        """Count this failure, and return what to raise: with the verdict on the heads that were due and failed alone.

        ``Unavailable`` starts every clock again: what it says is not the rows' fault is not held against them.
        """
        self.retries += 1
        if sick.unavailable or isinstance(sick, NotYet):
            self._held.clear()
            return sick
        self._took = self._clock.monotonic() - self._began
        poison: list[Failure] = []
        for row, known in list(self._heads(work)):
            partition, position = int(work.partitions[row]), int(work.positions[row])
            held = self._held[partition] = known or HeldRow(position, self._began)
            held.attempts += 1
            if row in self._due and (fault := faults(row)) is not None:
                poison.append(fault.verdict(row, held.attempts))
                del self._held[partition]
        # At least a moment: a head that is due and passed alone while the rest failed must not make a busy loop.
        within = max(min(map(self._left, self._held.values())), 0.1) if self._held else None
        return Sick(sick.reason, retry_within=within, poison=poison, traceback=sick.traceback)

    def _left(self, held: HeldRow) -> float:
        """Seconds until a pass must judge this head: one that begins a moment before lasts as long as the last did."""
        reserve = 2 * self._took + self._timeout * len(self._held)
        return held.since + min(self._after * FINAL, self._after - reserve) - self._clock.monotonic()

    def _heads(self, work: Work) -> Iterable[tuple[int, HeldRow | None]]:
        partitions, rows = np.unique(work.partitions, return_index=True)
        for partition, row in zip(partitions.tolist(), rows.tolist(), strict=True):
            held = self._held.get(partition)
            yield row, held if held is not None and held.position == int(work.positions[row]) else None
