"""Group commit: what many requests bring becomes few columns, one append, one fsync; then each is answered.

The event loop decodes requests and hands them over here; one writer thread does nothing but ``Log.append``. Everything
that is pending when a commit ends is the next group, as far as the log stores it in time. Nobody is answered before the
append of its group has returned.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...batch import AppendResult, TopicSpec, Write
from ...clock import Clock
from ...errors import Busy, LogFull, LogGone, LogRefused, LogUnreachable, NotFound, RowsTooLarge, SchemaChanged
from ...log.interface import Log
from ...settings import Settings
from ...telemetry import logger
from ..commit_size import CommitSize
from .intake import Envelope, Intake, Piece, Receipt, Request, Rows

OURS = (NotFound, SchemaChanged, LogRefused, RowsTooLarge)
"""What some requests of a group are the reason for: nothing of the group was stored, and the others may be."""
TOLD = (LogFull, LogGone, LogUnreachable, *OURS)
"""What publishers are told, and others are served after: nothing was stored, or, where the log went away, nothing was
acknowledged."""
EAGER_ROWS = 256  # a request of so many rows has its columns built at once, while the writer is busy with others

_log = logger(__name__)


@dataclass(slots=True)
class AppendGroup:
    """What one append stores: the pieces' writes, in the order of the pieces."""

    pieces: list[Piece]
    writes: list[Write] = field(default_factory=list)


class Ingest:
    """Accepts rows on one event loop. ``fatal`` is called once, from the writer thread, when an append failed in a way
    that leaves unknown what is on disk: nobody in its group is answered, and the process must end."""

    def __init__(
        self, log: Log, topics: Sequence[TopicSpec], settings: Settings, clock: Clock, fatal: Callable[[], None]
    ) -> None:
        self._log, self._fatal, self._clock = log, fatal, clock
        self._limit = settings.queue_limit
        self._held = 0
        self.topics = {t.name: Intake(t, log, settings, clock) for t in topics}
        self._pending: dict[str, list[Request]] = {}
        self._pace = CommitSize()  # changed by the writer, and read while it has nothing to do
        self._writing = False  # a group is with the writer, or a flush is due
        self._idle = asyncio.Event()
        self._idle.set()
        self._groups: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, AppendGroup] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="ingest-writer", daemon=True)
        self._writer.start()

    # -- room: bytes taken in and not yet durable -----------------------------

    def hold(self, size: int) -> None:
        """Take room for that many bytes as they arrive. Raises ``Busy`` when there is none; nothing is held then."""
        if self._held + size > self._limit:
            raise Busy("too many bytes are waiting to become durable: send again later")
        self._held += size

    def release(self, size: int) -> None:
        self._held -= size

    # -- the event loop's side ------------------------------------------------

    async def store(self, topic: str, rows: Rows, envelope: Envelope | None = None, *, size: int = 0) -> Receipt:
        """All of the rows or none; durable on return. ``size``: bytes as they were sent, for the metrics.

        Raises ``InvalidEvent`` (found while building columns), ``TooLarge`` (for a record of the log), ``LogFull``,
        ``NotFound``, ``SchemaChanged``, ``LogUnreachable``, ``LogRefused``.
        """
        loop = asyncio.get_running_loop()
        request = Request(rows, envelope, loop.create_future(), size)
        if len(request) == 0:
            return Receipt.empty()
        if len(request) >= EAGER_ROWS and request.batch is None:
            request.batch = self.topics[topic].build([request])
        self._pending.setdefault(topic, []).append(request)
        if not self._writing:
            self._writing = True
            self._idle.clear()
            loop.call_soon(self._flush, loop)  # after the other requests that this turn of the loop brings
        return await request.done

    async def close(self) -> None:
        """Answer everybody who is waiting, then end the writer. The caller has stopped accepting."""
        await self._idle.wait()
        self._groups.put(None)
        await asyncio.to_thread(self._writer.join)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if group := self._gather(self._due()):
            self._groups.put((loop, group))
        elif self._pending:
            loop.call_soon(self._flush, loop)
        else:
            self._writing = False
            self._idle.set()

    def _due(self) -> dict[str, list[Request]]:
        """The requests of the next group, taken in the order in which they came; what is left of a topic comes after
        the topics of which nothing was taken."""
        room = self._pace.rows
        if room == math.inf:
            everything, self._pending = self._pending, {}
            return everything
        due: dict[str, list[Request]] = {}
        untouched: dict[str, list[Request]] = {}
        left: dict[str, list[Request]] = {}
        for topic, requests in self._pending.items():
            count = 0
            while count < len(requests) and room > 0:
                room -= len(requests[count])
                count += 1
            if count:
                due[topic] = requests[:count]
            if count < len(requests):
                (left if count else untouched)[topic] = requests[count:]
        self._pending = {**untouched, **left}
        return due

    def _gather(self, waiting: dict[str, list[Request]]) -> AppendGroup | None:
        group = AppendGroup([])
        for topic, requests in waiting.items():
            present = [r for r in requests if not r.done.done()]  # one whose publisher went away is dropped unstored
            try:
                piece = self.topics[topic].gather(present, self._clock.now())
            except Exception as error:  # a fault of ours: those who asked are told, and the others go on
                fail(present, error)
                continue
            group.pieces.append(piece)
            group.writes += piece.writes
        return group if any(piece.requests for piece in group.pieces) else None

    # -- the writer's side ----------------------------------------------------

    def _write(self) -> None:
        while (item := self._groups.get()) is not None:
            loop, group = item
            try:
                results = self._append(group)
            except BaseException as error:
                # A failed fsync may have lost pages that a second one would report as written: never go on.
                _log.critical(f"the log failed, nothing more is acknowledged: {error}", exc_info=True)
                self._fatal()
                loop.call_soon_threadsafe(self._idle.set)  # where the process goes on, in tests, it can still close
                return
            loop.call_soon_threadsafe(self._answer, loop, results)

    def _append(self, group: AppendGroup) -> list[tuple[Piece, Sequence[AppendResult] | Exception]]:
        """What became of each piece. One that is refused is nobody else's loss: then each is stored by itself."""
        began = self._clock.monotonic()
        try:
            spans = iter(self._log.append(group.writes) if group.writes else ())
        except TOLD as error:
            if isinstance(error, LogUnreachable):
                self._pace.failed(sum(w.rows.num_rows for w in group.writes), self._clock.monotonic() - began)
            if len(group.pieces) == 1 or not isinstance(error, OURS):
                return [(piece, error) for piece in group.pieces]
            return [result for piece in group.pieces for result in self._append(AppendGroup([piece], piece.writes))]
        self._pace.stored(self._clock.monotonic() - began)
        return [(piece, [next(spans) for _ in piece.writes]) for piece in group.pieces]

    # -- back on the event loop -----------------------------------------------

    def _answer(
        self, loop: asyncio.AbstractEventLoop, results: Sequence[tuple[Piece, Sequence[AppendResult] | Exception]]
    ) -> None:
        for piece, result in results:
            topic = self.topics[piece.topic]
            try:
                if isinstance(result, RowsTooLarge):
                    # Those whose rows are not to blame wait for the next group, before all who came later.
                    self._pending[piece.topic] = topic.refuse(piece, result) + self._pending.get(piece.topic, [])
                elif isinstance(result, Exception):
                    fail(piece.requests, result)
                else:
                    topic.answer(piece, result, self._clock.now())
            except Exception as error:  # likewise; where its rows are stored, nobody is told that they are not
                fail(piece.requests, error)
        if away := next((result for _, result in results if isinstance(result, LogUnreachable)), None):
            # Who came meanwhile would wait as long for the same answer, and for those before him too.
            waiting, self._pending = self._pending, {}
            for requests in waiting.values():
                fail(requests, away)
        self._flush(loop)


def fail(requests: Sequence[Request], error: Exception) -> None:
    for request in requests:
        request.fail(error)
