"""The threads behind ``?wait=``: one tails the topics between a source and a target, for all who wait on those two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import numpy as np

from ...batch import Batch
from ...errors import PenstockError
from ...log.interface import ObservedLog, Reader, Seek
from ...plan.graph import Hop, way
from ...plan.plan import Plan
from ...stages.ingest.intake import Receipt
from ...telemetry import logger
from ..drain import drained
from ..wire.errors import BadRequest, unknown
from .lineage import Waiter

READ_ROWS = 8_192
LOOK_S = 0.02  # seconds between two looks at the groups' positions while nothing arrives
LINGER_S = 2.0  # seconds that a tail outlives its last waiter: the next one often comes soon
LOOKING_BACK = 8  # requests that look back at once; beyond them requests wait their turn

_log = logger(__name__)


class Tail:
    """Opened by one thread, run by another from ``start`` on; waiters come and go on the event loop."""

    linger = LINGER_S

    def __init__(self, log: ObservedLog, plan: Plan, source: str, target: str) -> None:
        self.plan, self.source, self.target = plan, source, target
        self.hops: Sequence[Hop] = way(plan, source, target)
        self._log = log
        self._lock = threading.Lock()
        self._waiters: list[Waiter] = []
        self._unused = 0.0  # seconds without a waiter
        self.closed = False
        self._readers: dict[str, Reader] = {}

    def open(self) -> None:
        # Children before parents: a parent that is read after its child is sure to be there.
        for topic in dict.fromkeys(h.target for h in reversed(self.hops)):
            self._readers[topic] = self._log.reader(None, [topic], "follow", start="latest")
        self._read(0.0)  # from here on nothing is missed

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"follow-{self.target}", daemon=True).start()

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

    def release(self) -> None:
        """Those who wait are answered with what there is. On the event loop."""
        for waiter in self._present():
            waiter.release()

    def _run(self) -> None:
        try:
            self._begin()
            while not self._over():
                self._round()
        except Exception as error:
            fault = not isinstance(error, PenstockError)
            _log.warning(f"following {self.source} to {self.target} ended: {error}", exc_info=fault)
            self.close()  # the next to wait opens another
            for waiter in self._present():
                waiter.give_up()
        finally:
            for reader in self._readers.values():
                reader.close()

    def _begin(self) -> None:
        """What there is to do before the first round."""

    def _over(self) -> bool:
        with self._lock:
            self._unused = 0.0 if self._waiters else self._unused + LOOK_S
            self.closed = self.closed or self._unused > self.linger
            return self.closed

    def _round(self) -> None:
        # The positions come first: what a stage had committed by then, the reading below is sure to see.
        groups: Mapping[tuple[str, str, int], int] = {}
        if any(w.armed for w in self._present()):
            groups = self._log.positions({(hop.stage, hop.source) for hop in self.hops})
        batches = self._read(LOOK_S)
        # And those who wait come last: who joined while this was reading may find here what it waits for.
        for waiter in self._present():
            waiter.observe(batches, groups)

    def _present(self) -> list[Waiter]:
        with self._lock:
            return list(self._waiters)

    def _read(self, wait: float) -> list[Batch]:
        """All there is, parents before children."""
        found: list[Batch] = []
        for topic, reader in self._readers.items():
            there = self._log.ends(topic)
            found[:0] = [b for batches in drained(reader, there, wait, at_once=READ_ROWS) for b in batches]
            wait = 0.0
        return found


class LookBack(Tail):
    """Of one request that repeats events stored before: it reads what became of them since, then goes on as any tail.

    What a stage makes meanwhile may be seen twice, and nothing is missed: the readers of the rounds are open already.
    """

    linger = 0.0

    def __init__(self, log: ObservedLog, plan: Plan, source: str, target: str, receipt: Receipt) -> None:
        super().__init__(log, plan, source, target)
        self._receipt = receipt

    def _begin(self) -> None:
        self.open()
        if (since := self._since()) is None:
            return
        for topic in reversed(self._readers):  # parents before children
            with closing(self._log.reader(None, [topic], "look-back", start="latest")) as reader:
                reader.seek(Seek(topic, None, since))
                for batches in drained(reader, self._log.ends(topic), 0.0, at_once=READ_ROWS):
                    if not (waiters := self._present()):
                        return
                    for waiter in waiters:
                        waiter.observe(batches, None)

    def _since(self) -> datetime | None:
        """When the first of the events came; None when retention has removed them."""
        came: list[int] = []
        with closing(self._log.reader(None, [self.source], "look-back", start="latest")) as reader:
            reader.seek(Seek(self.source, None, "pause"))
            for partition in np.unique(self._receipt.partitions).tolist():
                first = self._receipt.positions[self._receipt.partitions == partition].min()
                reader.seek(Seek(self.source, partition, int(first)))
                reader.seek(Seek(self.source, partition, "resume"))
                came += [int(batch.appended[0]) for batch in reader.read(1, 0.0)]
                reader.seek(Seek(self.source, partition, "pause"))
        return datetime.fromtimestamp(min(came) / 1e6, UTC) if came else None


class Followers:
    """The tails in use. On the event loop only."""

    def __init__(self, log: ObservedLog, plan: Plan, threads: Executor) -> None:
        self._log, self._plan, self._threads = log, plan, threads
        self._tails: dict[tuple[str, str], asyncio.Future[Tail]] = {}
        self._back: set[LookBack] = set()
        self._room = asyncio.Semaphore(LOOKING_BACK)
        self._hurried = False

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
                opening = loop.run_in_executor(self._threads, self._open, source, target)
                self._tails[source, target] = opening
            try:
                tail = await asyncio.shield(opening)
            except Exception:
                self._tails.pop((source, target), None)
                raise
            if (waiter := tail.join(loop)) is not None:
                return self._joined(waiter)
            if self._tails.get((source, target)) is opening:
                del self._tails[source, target]

    @asynccontextmanager
    async def looking_back(self, source: str, target: str, receipt: Receipt) -> AsyncIterator[Waiter]:
        """A waiter of its own for events of which some were stored before; armed."""
        async with self._room:
            tail = LookBack(self._log, self._plan, source, target, receipt)
            waiter = tail.join(asyncio.get_running_loop())
            assert waiter is not None
            self._back.add(tail)
            try:
                with self._joined(waiter):
                    waiter.arm(receipt)
                    tail.start()
                    yield waiter
            finally:
                self._back.discard(tail)

    def hurry(self) -> None:
        """The gateway is about to end: who waits is answered with what there is, and so is who comes."""
        self._hurried = True
        for tail in self._open_tails():
            tail.release()

    def close(self) -> None:
        for tail in self._open_tails():
            tail.close()

    def _joined(self, waiter: Waiter) -> Waiter:
        if self._hurried:
            waiter.release()
        return waiter

    def _open_tails(self) -> list[Tail]:
        opened = [o for o in self._tails.values() if o.done() and not o.cancelled() and o.exception() is None]
        return [*(o.result() for o in opened), *self._back]

    def _open(self, source: str, target: str) -> Tail:
        tail = Tail(self._log, self._plan, source, target)
        tail.open()
        tail.start()
        return tail
