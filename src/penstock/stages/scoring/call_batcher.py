"""Calls to one model from several threads, put together into the batches that its stream is scored in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import pyarrow as pa

from ...batch import concat_same
from ...clock import Clock
from ...errors import PenstockError
from ...models.interface import ModelVersion
from ...runner.interface import Artifact, Runner

Observe = Callable[[ModelVersion, int, float | None], None]
"""Told of each call: the version, its rows, and its seconds; None when it gave no answer."""


@dataclass(slots=True, eq=False)
class _Ticket:
    model: Artifact
    rows: pa.RecordBatch
    timeout: float
    answer: pa.RecordBatch | None = None
    error: BaseException | None = None

    def fits(self, other: _Ticket) -> bool:
        return self.model.version.ref == other.model.version.ref and self.rows.schema.equals(other.rows.schema)


class Combiner:
    """In front of a runner, which runs one call at a time. Whoever's turn it is takes along what waits by then."""

    def __init__(
        self, runner: Runner, clock: Clock, *, rows: int, observe: Observe = lambda _version, _rows, _seconds: None
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._rows = rows
        self._observe = observe
        self.turn = Lock()  # of whoever asks the runner for something
        self._waiting: list[_Ticket] = []
        self._guard = Lock()

    def start(self) -> None:
        """Start the runner, before anything is asked of it. Whose turn it is starts it himself."""
        if self.turn.acquire(blocking=False):
            try:
                self._runner.start()
            finally:
                self.turn.release()

    def predict(self, model: Artifact, rows: pa.RecordBatch, timeout: float) -> pa.RecordBatch:
        """Errors are those of ``Runner.predict``, of these rows alone: another caller's bad rows are not ours."""
        ticket = _Ticket(model, rows, timeout)
        with self._guard:
            self._waiting.append(ticket)
        with self.turn:
            if ticket.answer is None and ticket.error is None:
                self._serve(self._company(ticket))
        if ticket.error is not None:
            raise ticket.error
        assert ticket.answer is not None
        return ticket.answer

    def _company(self, ticket: _Ticket) -> list[_Ticket]:
        group, count = [ticket], ticket.rows.num_rows
        with self._guard:
            for other in self._waiting:
                if other is not ticket and other.fits(ticket) and count + other.rows.num_rows <= self._rows:
                    group.append(other)
                    count += other.rows.num_rows
            self._waiting = [t for t in self._waiting if t not in group]
        return group

    def _serve(self, group: list[_Ticket]) -> None:
        if len(group) > 1:
            try:
                answer = self._call(group[0], concat_same([t.rows for t in group]))
            except PenstockError:
                pass  # whose rows they were shows when each is asked alone
            else:
                start = 0
                for ticket in group:
                    ticket.answer = answer.slice(start, ticket.rows.num_rows)
                    start += ticket.rows.num_rows
                return
        for ticket in group:
            try:
                ticket.answer = self._call(ticket, ticket.rows)
            except BaseException as error:
                ticket.error = error

    def _call(self, ticket: _Ticket, rows: pa.RecordBatch) -> pa.RecordBatch:
        version, began = ticket.model.version, self._clock.monotonic()
        seconds: float | None = None
        try:
            answer = self._runner.predict(ticket.model, rows, timeout=ticket.timeout)
            seconds = self._clock.monotonic() - began
        finally:
            self._observe(version, rows.num_rows, seconds)
        return answer
