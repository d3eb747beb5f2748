"""Reading from the embedded log."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ...batch import Batch, Write
from ...clock import Clock
from ...errors import Corrupt, Fenced, LogError, NotFound, Overtaken
from ...settings import Settings
from ..interface import Advance, OwnedPartition, Seek, Start
from ..processes.wake import Bell, Wakeups
from ..reading.assigned import Holding, Holdings, Place
from ..reading.fair_share import share
from ..reading.seeking import overtaken
from .fetching import damaged, fetch
from .leases import LeasePlan
from .membership import FileMembership
from .seeking import target
from .store.catalog import changed_since, partition_row, verified
from .store.engine import Engine
from .store.tables import LogState, PartitionRow, read_state
from .store.transaction import translated


class EmbeddedReader:
    """Implements ``Reader``. Holds a connection, and never a transaction from one batch to the next."""

    def __init__(
        self,
        engine: Engine,
        wakeups: Wakeups,
        process: str,
        clock: Clock,
        settings: Settings,
        group: str | None,
        topics: Sequence[str],
        member: str,
        start: Start,
    ) -> None:
        self._engine, self._wakeups = engine, wakeups
        self._clock, self._settings = clock, settings
        self._topics, self._start = tuple(dict.fromkeys(topics)), start
        self._own = Holdings()
        self._bounds: dict[Place, PartitionRow] = {}
        self._ready: dict[Place, None] = {}  # those that may have something to read, in the order of their turns
        self._state = LogState(-1, -1, -1, 0)
        self._errors: list[Corrupt | Overtaken] = []
        self._mutex = threading.RLock()  # held for the database, never while waiting
        self._closed = False
        self._bell = Bell(())
        self._db = engine.connect()
        self._membership: FileMembership | None = None
        try:
            engine.refresh(self._db, read_state(self._db))
            numbers = [engine.catalog.topic(name).id for name in self._topics]
            self._bell = wakeups.add(numbers)
            if group is not None:
                self._membership = FileMembership(engine, self._db, wakeups, process, group, self._topics, member)
                self._membership.join(start)
            with translated(engine.path):
                self._keep_up()
        except BaseException:
            wakeups.remove(self._bell)
            self._db.close()
            raise

    def read(self, max_events: int, wait: float | None) -> Sequence[Batch]:
        deadline = self._clock.monotonic() + (wait or 0.0)
        while True:
            self._bell.event.clear()  # before the look, or what comes in between would be missed
            with self._mutex, translated(self._engine.path):
                self._check_open()
                self._keep_up()
                if batches := self._gather(max_events):
                    return batches
                if self._errors:
                    raise self._errors.pop(0)
            left = deadline - self._clock.monotonic()
            if left <= 0 or not self._clock.passes:
                return []
            self._bell.event.wait(min(left, self._settings.poll_interval))
            if self._closed:
                return []

    def commit(self, done: Sequence[Advance], outputs: Sequence[Write]) -> None:
        with self._mutex:
            self._check_open()
            if (membership := self._membership) is None:
                raise LogError("a reader without a group has no positions to commit")
            places = self._own.answered_for(done)
            self._check_held(places)
            try:
                _, topics = self._engine.change(lambda db: membership.advance(db, self._own, places, done), outputs)
            except Fenced as error:
                # Told now: kept as lost it would wait for ever for a commit that the caller has no more rows for.
                for place in error.lost:
                    self._own.drop(place)
                self._own.refuse(error.lost)
                raise
            for advance in done:
                self._own.held[advance.topic, advance.partition].committed(advance.through)
        self._wakeups.announce(topics)

    def owned(self, topic: str) -> Mapping[int, OwnedPartition]:
        with self._mutex:
            return self._own.owned(topic)

    def seek(self, where: Seek) -> None:
        with self._mutex:
            self._check_open()
            self._keep_up()
            places = self._named(where)
            if where.to in ("pause", "resume"):
                for place in places:
                    self._own.held[place].paused = where.to == "pause"
                    self._ready[place] = None
                return
            self._move(places, where.to)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            self._wakeups.remove(self._bell)
            self._bell.event.set()
            self._db.close()
            if self._membership is not None:
                self._membership.leave()

    # -- what it owns ---------------------------------------------------------

    def _keep_up(self) -> None:
        state = read_state(self._db)
        before, self._state = self._state, state
        if state.topology != before.topology:
            self._engine.refresh(self._db, state)
        if state.seq != before.seq and before.seq >= 0:
            self._note_changes(before.seq)
        if self._membership is None:
            if state.generation != before.generation:
                self._own_all()
        elif state.generation != before.generation or not self._membership.settled:
            self._take_over(self._membership, self._membership.balance(self._own))

    def _own_all(self) -> None:
        for name in self._topics:
            for index, tp in enumerate(self._engine.catalog.topic(name).tps):
                if (name, index) not in self._own.held:
                    row = partition_row(self._db, self._engine.catalog, tp)
                    self._gain((name, index), row, 0, row.next if self._start == "latest" else row.first)
        self._start = "earliest"  # partitions that come later are read whole

    def _take_over(self, membership: FileMembership, planned: LeasePlan) -> None:
        catalog = self._engine.catalog
        epochs = {catalog.places[tp]: epoch for tp, epoch in planned.epochs.items()}
        for place in [p for p, holding in self._own.held.items() if epochs.get(p) != holding.epoch]:
            self._own.drop(place)
            self._bounds.pop(place, None)
        for place in epochs.keys() - self._own.held.keys():
            row = partition_row(self._db, catalog, catalog.tp(*place))
            try:
                through = membership.position(place)
            except Corrupt as error:
                self._gain(place, row, epochs[place], row.first)
                self._own.held[place].stuck = True
                self._errors.append(error)
                continue
            self._gain(place, row, epochs[place], row.first if through is None else through + 1)
        leaving = {catalog.places[tp] for tp in planned.leaving}
        for place, holding in self._own.held.items():
            if holding.leaving != (place in leaving):
                holding.leaving = place in leaving
                self._ready[place] = None

    def _gain(self, place: Place, row: PartitionRow, epoch: int, cursor: int) -> None:
        self._own.held[place] = Holding(place, epoch, cursor)
        self._bounds[place] = row
        self._ready[place] = None

    def _note_changes(self, since: int) -> None:
        places = self._engine.catalog.places
        for raw in changed_since(self._db, since):
            place = places.get(raw[0])
            if place is None or place not in self._own.held:
                continue
            try:
                self._bounds[place] = verified(self._engine.catalog, raw)
                self._ready[place] = None
            except Corrupt as error:
                self._own.held[place].stuck = True
                self._errors.append(error)

    # -- reading --------------------------------------------------------------

    def _gather(self, max_events: int) -> list[Batch]:
        available: dict[Place, int] = {}
        for holding in self._candidates():
            row = self._bounds[holding.place]
            if holding.cursor < row.first:
                self._overtaken(holding, row)
            if holding.cursor < row.next:
                available[holding.place] = row.next - holding.cursor
        if self._errors:
            return []
        shares = share(available, max_events)
        if not shares:
            return []
        self._db.execute("BEGIN")  # one snapshot, and its locks taken once for all partitions
        try:
            taken = [self._take(self._own.held[place], count) for place, count in shares.items()]
        finally:
            if self._db.in_transaction:  # some errors end it by themselves
                self._db.execute("COMMIT")
        return [batch for batch in taken if batch is not None]  # one with nothing but rejected rows is false

    def _candidates(self) -> Iterator[Holding]:
        """Those that may have something; a partition without is forgotten until it changes."""
        for place in list(self._ready):
            holding = self._own.held.get(place)
            if holding is None or not holding.readable or holding.cursor >= self._bounds[place].next:
                del self._ready[place]
            elif place not in self._own.lost:
                yield holding

    def _take(self, holding: Holding, count: int) -> Batch | None:
        place, catalog = holding.place, self._engine.catalog
        self._ready.pop(place)
        self._ready[place] = None  # its next turn is after all others
        tp, end = catalog.tp(*place), self._bounds[place].next
        try:
            batch = fetch(self._db, catalog, place, tp, holding.cursor, end, count)
            if batch is None:
                self._missing(holding, tp)
                return None
        except Corrupt as error:
            holding.stuck = True
            self._errors.append(error)
            return None
        holding.cursor = batch.through + 1
        holding.returned = batch.through
        return batch

    def _missing(self, holding: Holding, tp: int) -> None:
        """Nothing is stored at the cursor: retention came in between, or a batch is gone."""
        row = self._bounds[holding.place] = partition_row(self._db, self._engine.catalog, tp)
        if holding.cursor >= row.first:
            raise damaged(holding.place, holding.cursor, "missing")
        self._overtaken(holding, row)

    def _overtaken(self, holding: Holding, row: PartitionRow) -> None:
        self._errors.append(overtaken(holding.place, holding.cursor, row.first))
        holding.cursor = row.first

    # -- committing and seeking -----------------------------------------------

    def _check_held(self, places: Sequence[Place]) -> None:
        for place in places:
            self._engine.catalog.tp(*place)
        if lost := self._own.refuse(places):
            raise Fenced(lost)

    def _named(self, where: Seek) -> list[Place]:
        if where.topic not in self._topics:
            raise NotFound(f"this reader does not read topic '{where.topic}'")
        if where.partition is None:
            self._own.lost = {place for place in self._own.lost if place[0] != where.topic}
            return [place for place in self._own.held if place[0] == where.topic]
        place = (where.topic, where.partition)
        self._engine.catalog.tp(*place)
        if where.to not in ("pause", "resume"):
            self._own.lost.discard(place)
            self._check_held([place])
        return [place] if place in self._own.held else []

    def _move(self, places: Sequence[Place], to: int | datetime | str) -> None:
        membership = self._membership
        if to == "committed" and membership is None:
            raise LogError("a reader without a group has no committed position")
        with translated(self._engine.path):
            targets = {place: self._target(place, to) for place in places}
        if membership is not None and to != "committed":
            self._engine.change(lambda db: membership.move(db, self._own, targets), [])
        for place, cursor in targets.items():
            self._own.held[place].moved(cursor)
            self._ready[place] = None

    def _target(self, place: Place, to: int | datetime | str) -> int:
        catalog = self._engine.catalog
        row = self._bounds[place] = partition_row(self._db, catalog, catalog.tp(*place))
        if to == "committed" and self._membership is not None:
            through = self._membership.position(place)
            return row.first if through is None else through + 1
        return target(self._db, place, row, to)

    def _check_open(self) -> None:
        self._engine.writer.check_alive()
        if self._closed:
            raise LogError("the reader is closed")
