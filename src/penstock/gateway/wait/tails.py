"""The threads behind ``?wait=``: one tails the topics between a source and a target, for all who wait on those two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from ...batch import Batch
from ...declare.plan import Plan
from ...errors import PenstockError
from ...log.interface import Reader
from ...telemetry import logger
from ..rooms import ObservedLog, Rooms, unknown
from ..wire.answers import BadRequest
from .follow import Hop, Waiter, way

READ_ROWS = 8_192
LOOK = 0.02  # seconds between two looks at the groups' positions while nothing arrives
LINGER = 2.0  # seconds that a tail outlives its last waiter: the next one often comes soon

_log = logger(__name__)


class Tail:
    """Opened by one thread, run by another; waiters come and go on the event loop."""

    def __init__(self, log: ObservedLog, plan: Plan, source: str, target: str) -> None:
        self.plan, self.source, self.target = plan, source, target
        self.hops: Sequence[Hop] = way(plan, source, target)
        self._log = log
        self._lock = threading.Lock()
        self._waiters: list[Waiter] = []
        self._unused = 0.0  # seconds without a waiter
        self.closed = False
        # Children before parents: a parent that is read after its child is sure to be there.
        topics = dict.fromkeys(h.target for h in reversed(self.hops))
        self._readers = {t: log.reader(None, [t], "follow", start="latest") for t in topics}
        self._read(0.0)  # from here on nothing is missed
        threading.Thread(target=self._run, name=f"follow-{target}", daemon=True).start()

    def join(self, loop: asyncio.AbstractEventLoop) -> Waiter | None:
        """None when this tail has just ended: open another."""
        with self._lock:
            if self.closed:
                return None
            waiter = Waiter(self, loop)
            self._waiters.append(waiter)
            return waiter

    def leave(self, waiter: Waiter) -> None:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def close(self) -> None:
        with self._lock:
            self.closed = True

    def _run(self) -> None:
        try:
            while not self._over():
                self._round()
        except PenstockError as error:
            _log.warning(f"following {self.source} to {self.target} ended: {error}")
            self.close()
        finally:
            for reader in self._readers.values():
                reader.close()

    def _over(self) -> bool:
        with self._lock:
            self._unused = 0.0 if self._waiters else self._unused + LOOK
            self.closed = self.closed or self._unused > LINGER
            return self.closed

    def _round(self) -> None:
        # The positions come first: what a stage had committed by then, the reading below is sure to see.
        groups = {}
        if any(w.armed for w in self._present()):
            groups = {(g.group, g.topic, g.partition): g.through for g in self._log.groups() if g.through is not None}
        batches = self._read(LOOK)
        # And those who wait come last: who joined while this was reading may find here what it waits for.
        for waiter in self._present():
            waiter.see(batches, groups)

    def _present(self) -> list[Waiter]:
        with self._lock:
            return list(self._waiters)

    def _read(self, wait: float) -> list[Batch]:
        """All there is, parents before children."""
        found: list[Batch] = []
        for reader in self._readers.values():
            found[:0] = _drained(reader, wait)
            wait = 0.0
        return found


def _drained(reader: Reader, wait: float) -> list[Batch]:
    found: list[Batch] = []
    while batches := reader.read(READ_ROWS, wait):
        found += batches
        wait = 0.0
    return found


class Followers:
    """The tails in use. On the event loop only."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._plan: Plan = rooms.plan
        self._tails: dict[tuple[str, str], asyncio.Future[Tail]] = {}

    def check(self, source: str, target: str) -> None:
        """Raises ``BadRequest`` for a topic that nothing published to ``source`` can reach."""
        if target not in {t.name for t in self._plan.topics}:
            raise BadRequest(f"wait: {unknown('topic', target, [t.name for t in self._plan.topics])}")
        if not way(self._plan, source, target):
            raise BadRequest(f"wait: nothing that is published to '{source}' ever reaches '{target}'")

    async def join(self, source: str, target: str) -> Waiter:
        loop = asyncio.get_running_loop()
        while True:
            opening = self._tails.get((source, target))
            if opening is None:
                opening = loop.run_in_executor(self._rooms.threads, self._open, source, target)
                self._tails[source, target] = opening
            try:
                tail = await asyncio.shield(opening)
            except Exception:
                self._tails.pop((source, target), None)
                raise
            if (waiter := tail.join(loop)) is not None:
                return waiter
            if self._tails.get((source, target)) is opening:
                del self._tails[source, target]

    def close(self) -> None:
        for opening in self._tails.values():
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().close()

    def _open(self, source: str, target: str) -> Tail:
        return Tail(self._rooms.log, self._plan, source, target)
