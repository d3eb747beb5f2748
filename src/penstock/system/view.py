"""The system as any process sees it: its areas, begun from their snapshots and kept up from ``penstock.system``, which
is read by itself and never written.

Changes are commands appended to that topic; the stage that owns it answers them (``owner.answer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from ..batch import SYSTEM, Batch
from ..clock import Clock
from ..errors import Corrupt, ModelRefused, Overtaken, PenstockError
from ..log.interface import Seek
from ..notices import notices
from ..telemetry import logger
from .areas import Areas
from .interface import Area, SystemLog
from .messages import SnapshotTaken, from_rows
from .snapshots import Snapshot, looks, pack

AT_ONCE_ROWS = 4_096  # rows of one read
SNAPSHOT_EVENTS = 2_048  # of the system, between two snapshots: a process that starts reads about so many at most
SNAPSHOT_AGE_S = 6 * 3_600
"""After which a snapshot is written anew, whatever has come: on a log that forgets, such as an event hub that keeps a
day, what is in force must not expire with the events and the snapshot that told of it."""
NOTICE = "system snapshots"

log = logger(__name__)


class View:
    """For many threads. What the areas say is as of the last ``refresh``; its lock is theirs, for who goes through one
    of their collections. Areas are changed by ``refresh`` alone."""

    def __init__(self, log: SystemLog, areas: Sequence[Area], clock: Clock, member: str) -> None:
        """Raises ``NotFound`` where there is no ``penstock.system`` yet."""
        self.areas, self.clock = Areas(areas), clock
        self.lock = Lock()
        self._log, self._member = log, member
        self._reader = log.reader(None, [SYSTEM], member)
        self._broken: PenstockError | None = None
        # The rest under the lock.
        self._begun = False
        self._through = -1  # the last position that was read
        self._covered = dict.fromkeys((area.name for area in self.areas), -1)  # what each area knows from its snapshot
        self._since = 0  # events that no snapshot covers, or that came between it and its ``SnapshotTaken``
        self._aged: int | None = None  # since when, in microseconds: the last snapshot's time, or the first event's
        self._end = 0  # of the topic, when it was begun

    def refresh(self) -> None:
        """Take in all that was committed before this call. Cheap when there is nothing.

        Raises ``Corrupt``, from then on at every call, when a row of the topic cannot be read: an unknown change is
        worse than none.
        """
        # Every caller waits its turn: one that went on with what another is still reading could miss the activation of
        # the partition it has just been given.
        with self.lock:
            if self._broken is not None:
                raise self._broken
            while batches := self._read():
                for batch in batches:
                    self._apply(batch)

    def is_snapshot_due(self) -> bool:
        """As of the last ``refresh``."""
        with self.lock:
            old = self._aged is not None and self.clock.now() >= self._aged + SNAPSHOT_AGE_S * 1_000_000
            return self._since >= SNAPSHOT_EVENTS or old

    def snapshots(self) -> list[Snapshot]:
        """Of all areas, as they are; for the owner alone to write."""
        with self.lock:
            now = self.clock.now()
            return [Snapshot(a.name, a.form, self._through, now, pack(a.save())) for a in self.areas]

    def close(self) -> None:
        self._reader.close()

    # -- from the snapshots ---------------------------------------------------

    def _read(self) -> Sequence[Batch]:
        if not self._begun:
            self._begin()
        try:
            return self._reader.read(AT_ONCE_ROWS, 0.0)
        except Overtaken:
            # What was not read is gone; a snapshot that was written meanwhile knows it.
            self._covered = dict.fromkeys(self._covered, self._through)
            self._begin()
            return self._reader.read(AT_ONCE_ROWS, 0.0)

    def _begin(self) -> None:
        """Let each area be what its newest snapshot says that can be used, and go on reading behind the oldest of
        those. An area without one takes in the whole history."""
        (state,) = self._log.partitions(SYSTEM)
        self._end = state.end
        faults: dict[str, None] = {}
        wanted = {area.name: area for area in self.areas}
        for found in looks(self._log, self._member):
            for snapshot in found:
                if not wanted:
                    break  # what is wrong with older ones is of no account
                if isinstance(snapshot, str):
                    faults[snapshot] = None
                elif (area := wanted.get(snapshot.area)) is None:
                    continue
                elif snapshot.through <= self._covered[area.name]:
                    del wanted[area.name]  # it knows as much by itself
                elif (fault := self._fault(snapshot, area)) is not None:
                    faults[fault] = None
                else:
                    self._covered[area.name] = snapshot.through
                    self._aged = snapshot.taken if self._aged is None else min(self._aged, snapshot.taken)
                    del wanted[area.name]
            if not wanted:
                break
        covered = min(self._covered.values())
        if covered >= 0:
            self._reader.seek(Seek(SYSTEM, 0, min(covered + 1, state.end)))
            self._through = max(covered, self._through)
        self._begun = True
        self._tell(list(faults), covered, state.earliest)

    def _fault(self, snapshot: Snapshot, area: Area) -> str | None:
        """Why it cannot be used; None: the area is what it says."""
        if self._is_ahead(snapshot):
            return f"{snapshot.title} is newer than {SYSTEM}, which ends before {self._end}"
        if snapshot.form > area.form:
            return f"{snapshot.title} was written by a newer version"
        try:
            area.restore(snapshot.saved())
        except ValueError as error:
            return f"{snapshot.title} cannot be read: {error}"
        return None

    def _is_ahead(self, snapshot: Snapshot) -> bool:
        """Of the log; which may have grown since the last look at its end, up to this snapshot."""
        if snapshot.through >= self._end:
            self._end = self._log.ends(SYSTEM)[0]
        return snapshot.through >= self._end

    def _tell(self, faults: list[str], covered: int, earliest: int) -> None:
        if faults:
            instead = "the whole history" if covered < 0 else f"an older one, up to position {covered},"
            reason = f"{'; '.join(faults)}: {instead} is read instead"
            notices().tell(NOTICE, reason, mend="the next snapshot replaces it")
        if earliest > covered + 1:
            notices().tell(
                "system forgotten",
                f"{SYSTEM} begins at position {earliest}, and no snapshot covers what was before it: what it said may "
                "be lost",
                mend="register models again; let the log keep its events for a day at least",
            )

    # -- from the events ------------------------------------------------------

    def _apply(self, batch: Batch) -> None:
        try:
            if batch.rejected:
                raise ValueError(batch.rejected[0].reason)
            if self._aged is None:
                self._aged = int(batch.appended[0])
            self._since += len(batch)
            for row, message in from_rows(batch.rows, self.areas.kinds):
                area = self.areas.of(message)
                if area is not None and batch.positions[row] > self._covered[area.name]:
                    area.apply(message)
                elif isinstance(message, SnapshotTaken):
                    self._taken(message, behind=len(batch) - row - 1, position=int(batch.positions[row]))
        except (ValueError, ModelRefused) as error:  # msgspec's errors are ValueErrors
            position = batch.rejected[0].position if batch.rejected else batch.through
            self._broken = Corrupt(
                f"the registry stands still: {batch.topic} cannot be read up to position {position}: {error}",
                topic=batch.topic,
                partition=batch.partition,
                position=position,
            )
            raise self._broken from error
        self._through = batch.through

    def _taken(self, event: SnapshotTaken, *, behind: int, position: int) -> None:
        if not {area.name for area in self.areas}.issubset(event.areas):
            return  # by a version that does not know them all
        self._since, self._aged = behind, event.taken
        if position >= self._end:
            notices().settle(NOTICE)
