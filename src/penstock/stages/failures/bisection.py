"""Finding the rows that fail among those that do not. The state machine is decision record 0004."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from ...batch import Indices
from ...clock import Clock
from ...errors import PredictionInvalid, RunnerDied, TaskFailed
from ...runner.interface import RowFailure
from ..interface import Failure, Work
from .in_hand import Call, InHand
from .poison_policy import Fault, PoisonPolicy, Sick

T = TypeVar("T")

PROBES = 8
WAYS_RAISED, WAYS_DIED = 2, 8
"""Pieces that a failing batch is cut into. A raise costs nothing, so the fewest calls win; a death costs its time limit
and a new child, so the fewest failing calls win."""

SHORTEST_S = 1.0  # seconds that any call gets
MARGIN = 20  # times the usual duration, before a call counts as hanging
SPACING_S = 0.1  # seconds before a transient failure is tried again; four times as long each time


@dataclass(frozen=True, slots=True)
class PassedRows(Generic[T]):
    """A result, and the rows of the work that it stands for, in order."""

    rows: Indices
    value: T


@dataclass(frozen=True, slots=True)
class CallLimits:
    """``timeout``: seconds of one call; ``attempts``: of a row alone; ``usual``: seconds that n rows usually take."""

    timeout: float
    attempts: int
    usual: Callable[[int], float]

    def cut(self, rows: int, of: int) -> float:
        """The limit of a part of a batch that failed: short, for its only purpose is to find who hangs."""
        usual = self.usual(rows)
        expected = usual * MARGIN if usual else self.timeout * rows / of
        return min(self.timeout, max(SHORTEST_S, expected))


def bisect(
    call: Call[T],
    work: Work,
    *,
    patience: PoisonPolicy,
    limits: CallLimits,
    clock: Clock,
    in_hand: InHand | None = None,
) -> tuple[list[PassedRows[T]], list[Failure]]:
    """The results of the good rows and a verdict on each bad one. Raises ``Sick`` when nothing tells them apart."""
    watched = call if in_hand is None else in_hand.watched(call, work)
    attempt = Bisection(watched, len(work), limits, clock, patience.retries)
    if in_hand is not None and in_hand.is_wary:
        attempt.beware(in_hand.suspected(work), [in_hand.verdict(row) for row in in_hand.guilty(work).tolist()])
    due = patience.begin(work)
    try:
        found = attempt.run(due)
    except Sick as sick:
        held = patience.hold(work, sick, attempt.suspects.get)
        held.alone = tuple(fault.verdict(row, attempt.tries(row)) for row, fault in attempt.suspects.items())
        raise held from sick
    patience.forget(work)
    if in_hand is not None:
        in_hand.passed(work)
    return found


class Bisection(Generic[T]):
    """One pass over one work. ``suspects`` are the rows that failed by themselves, with the last reason."""

    def __init__(self, call: Call[T], rows: int, limits: CallLimits, clock: Clock, seed: int) -> None:
        self._call = call
        self._all = np.arange(rows, dtype=np.int64)
        self._limits = limits
        self._clock = clock
        self._seed = seed
        self._parts: list[PassedRows[T]] = []
        self._failures: list[Failure] = []
        self._attempts: Counter[int] = Counter()
        self._passed = False  # some row was answered for: the dependency works
        self._witness: int | None = None
        self.suspects: dict[int, Fault] = {}
        self._first: list[Indices] = []  # what is tried before the rest

    def beware(self, suspected: Indices, guilty: Sequence[Failure]) -> None:
        """Of rows one of which may end this process, and such as do: those are tried in pieces, these never are."""
        never = np.array([failure.row for failure in guilty], np.int64)
        self._failures += guilty
        self._all = np.setdiff1d(self._all, never)
        self._first = [piece for piece in np.array_split(np.setdiff1d(suspected, never), WAYS_DIED) if len(piece)]

    @cached_property
    def _choose(self) -> np.random.Generator:
        """Made for rows that fail: numpy imports it then, and nothing else of ours asks for it."""
        return np.random.default_rng(self._seed)

    def run(self, due: Sequence[int]) -> tuple[list[PassedRows[T]], list[Failure]]:
        rest = np.setdiff1d(self._all, np.concatenate(self._first)) if self._first else self._all
        tried = [(piece, self._try(piece, self._limits.timeout)) for piece in (*self._first, rest) if len(piece)]
        self._divide([(piece, fault) for piece, fault in tried if fault is not None], due)
        if self.suspects:
            self._judge()
        return self._parts, sorted(self._failures, key=lambda f: f.row)

    def tries(self, row: int) -> int:
        return max(self._attempts[row], 1)

    # -- one call -------------------------------------------------------------

    def _try(self, rows: Indices, limit: float) -> Fault | None:
        """Keep what the call gives; return why it gave nothing. Raises ``Sick`` when a dependency is away."""
        places = rows.tolist()
        try:
            value, reported = self._call(rows, limit)
        except (TaskFailed, RunnerDied, PredictionInvalid) as error:
            return Fault.of(error, places)
        for failure in reported:
            self._report(places[failure.row], failure)
        bad = {places[f.row] for f in reported}
        good = [place for place in places if place not in bad] if bad else places
        self._passed = self._passed or bool(good) or any(f.rejected for f in reported)
        if good:
            self._witness = good[0]
        self._parts.append(PassedRows(rows, value))
        return None

    def _report(self, row: int, failure: RowFailure) -> None:
        self._attempts[row] += 1
        fault = Fault.from_report(failure)
        if failure.rejected:
            self._failures.append(fault.verdict(row, self._attempts[row]))
        else:
            self.suspects[row] = fault

    def _alone(self, row: int, limit: float) -> Fault | None:
        """Try one row by itself. A death under a shortened limit is no attempt: it only says where to look."""
        self.suspects.pop(row, None)
        fault = self._try(np.array([row], np.int64), limit)
        if fault is not None:
            self._suspect(row, fault, counts=not fault.died or limit >= self._limits.timeout)
        return self.suspects.get(row)

    def _again(self, rows: list[int]) -> None:
        """Those that the runner tells apart by itself share a call; the others are tried one by one."""
        together = [row for row in rows if self.suspects[row].reported]
        if len(together) > 1:
            told = [self.suspects.pop(row) for row in together]
            if self._try(np.array(sorted(together), np.int64), self._limits.timeout) is None:
                rows = [row for row in rows if row not in together]
            else:
                self.suspects.update(zip(together, told, strict=True))
        for row in rows:
            self._alone(row, self._limits.timeout)

    def _suspect(self, row: int, fault: Fault, *, counts: bool) -> None:
        self.suspects[row] = fault
        self._attempts[row] += counts

    # -- dividing -------------------------------------------------------------

    def _divide(self, pending: list[tuple[Indices, Fault]], due: Sequence[int]) -> None:
        """Cut what failed until every row has either passed or failed by itself."""
        while pending:
            rows, fault = pending.pop()
            for piece in self._pieces(rows, fault, due):
                again = self._try(piece, self._limits.cut(len(piece), len(self._all)))
                if again is not None:
                    pending.append((piece, again))

    def _pieces(self, rows: Indices, fault: Fault, due: Sequence[int]) -> list[Indices]:
        if len(rows) == 1:
            whole = len(self._all) == 1  # then it ran under the full limit
            self._suspect(int(rows[0]), fault, counts=whole or not fault.died)
            return []
        if fault.row is not None and len(self.suspects) < PROBES:
            self._suspect(fault.row, fault, counts=False)
            return [rows[rows != fault.row]]
        if not self._passed:
            rows = self._probe(rows, due)
        return [p for p in np.array_split(rows, WAYS_DIED if fault.died else WAYS_RAISED) if len(p)]

    def _probe(self, rows: Indices, due: Sequence[int]) -> Indices:
        """Look for one row that passes, and return the rows not tried. Raises ``Sick`` when none does."""
        spread = [int(self._choose.choice(part)) for part in np.array_split(rows, min(PROBES, len(rows)))]
        tried: list[int] = []
        for row in dict.fromkeys([*due, *spread]):
            tried.append(row)
            limit = self._limits.timeout if row in due else self._limits.cut(1, len(self._all))
            self._alone(row, limit)
            if self._passed:
                break
        else:
            # The short limit may be what they all failed at: one of them gets all the time there is.
            if any(fault.died for fault in self.suspects.values()) and not due:
                self._alone(tried[0], self._limits.timeout)
        if not self._passed:
            raise self._alike()
        return rows[~np.isin(rows, tried)]

    # -- the verdict ----------------------------------------------------------

    def _judge(self) -> None:
        if not self._passed:
            raise self._alike()
        pause = SPACING_S
        while waiting := [row for row, fault in self.suspects.items() if self._attempts[row] < self._needed(fault)]:
            if any(self.suspects[row].transient for row in waiting):
                self._clock.sleep(pause)
                pause *= 4
            self._again(waiting)
        if len(self.suspects) > 1 or any(fault.transient for fault in self.suspects.values()):
            self._ask_witness()
        self._failures += [fault.verdict(row, self._attempts[row]) for row, fault in self.suspects.items()]

    def _needed(self, fault: Fault) -> int:
        """A runner killed by a row that it had to itself and all its time for is proof enough, and dear."""
        return 1 if fault.died else self._limits.attempts

    def _ask_witness(self) -> None:
        """Several rows failed: a row that passed before must still pass, or the dependency went away in between."""
        if self._witness is None:
            return
        try:
            _, reported = self._call(np.array([self._witness], np.int64), self._limits.timeout)
        except (TaskFailed, RunnerDied, PredictionInvalid) as error:
            fault = Fault.of(error, [self._witness])
            raise Sick(f"rows that passed fail now: {fault.error}: {fault.reason}") from error
        if reported:
            raise Sick(f"rows that passed fail now: {reported[0].error}: {reported[0].reason}")

    def _alike(self) -> Sick:
        row, fault = next(iter(self.suspects.items()))
        tried = f"{len(self.suspects)} of {len(self._all)} rows" if len(self._all) > 1 else "the only row"
        reason = f"{tried} tried, none passed; row {row}: {fault.error}: {fault.reason}"
        return Sick(reason, traceback=fault.traceback)
