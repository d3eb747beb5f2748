"""What the owner of ``penstock.system`` does: it answers commands, and writes snapshots."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ..batch import SYSTEM, Write
from ..clock import Clock
from ..errors import PenstockError
from ..log.interface import Log
from ..telemetry import logger
from .areas import Areas
from .interface import Unfinished
from .messages import Command, Message, SnapshotDue, SnapshotTaken, from_rows, to_rows
from .snapshots import to_parts
from .view import View

ASK_AGAIN_S = 60.0

log = logger(__name__)


def answer(areas: Areas, rows: pa.RecordBatch, *, now: int) -> tuple[list[Message], list[int]]:
    """Answer the commands among rows of the system topic, in order; the areas given stay as they are.

    Other threads may refresh them meanwhile: what comes so is no answer, or it is a successor's, and then the pass that
    this is part of is fenced. Commands that are unfinished are passed over: who comes behind them does not wait.

    Returns the events and, for each, the row of its command. ``now`` is in microseconds since the epoch.
    """
    ahead = Areas([area.ahead() for area in areas])
    events, parents = list[Message](), list[int]()
    for row, message in from_rows(rows, areas.kinds):
        area = ahead.of(message)
        if not isinstance(message, Command) or area is None:
            continue
        try:
            given: Sequence[Message] = area.decide(message, now=now)
        except Unfinished:
            continue
        for event in given:
            area.apply(event)
            events.append(event)
            parents.append(row)
    return events, parents


def snapshot(view: View) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Of what was read: rows for ``penstock.snapshots``, and for ``penstock.system`` the one that tells of them."""
    taken = view.snapshots()
    told = SnapshotTaken(areas=tuple(s.area for s in taken), through=taken[0].through, taken=taken[0].taken)
    return to_parts(taken), to_rows([told])


class Reminder:
    """Asks for a snapshot when one is due and the owner has nothing else to do. For one thread."""

    def __init__(self, log: Log, view: View, clock: Clock) -> None:
        self._log, self._view, self._clock = log, view, clock
        self._asked = float("-inf")

    def look(self) -> None:
        if not self._view.is_snapshot_due() or self._clock.monotonic() < self._asked + ASK_AGAIN_S:
            return
        self._asked = self._clock.monotonic()
        try:
            self._log.append([Write(SYSTEM, 0, to_rows([SnapshotDue()]))])
        except PenstockError as error:
            log.warning("a snapshot of the system is due and could not be asked for", reason=str(error))
