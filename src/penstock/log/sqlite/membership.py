"""One reader's place in its group: joining, its share, giving back what is above it, leaving."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from ...errors import Fenced, LogError
from ..interface import Advance, Start
from ..processes.wake import Wakeups
from ..reading.assigned import Holdings, Place
from . import leases
from .store.engine import Engine


class FileMembership:
    """Used under its reader's lock, with the reader's connection for looking and the engine for writing."""

    def __init__(
        self,
        engine: Engine,
        db: apsw.Connection,
        wakeups: Wakeups,
        process: str,
        group: str,
        topics: Sequence[str],
        member: str,
    ) -> None:
        self._engine, self._db, self._wakeups = engine, db, wakeups
        self._process, self._group_name, self._topics, self._member = process, group, topics, member
        self._group = self._me = 0
        self.settled = False  # nothing is left to give back or to claim

    def join(self, start: Start) -> None:
        catalog = self._engine.catalog
        numbers = [catalog.topic(name).id for name in self._topics]
        with self._engine.writer.transaction() as db:
            self._group = leases.group_id(db, self._group_name)
            self._me = leases.join(db, self._group, self._member, self._process, numbers)
            if start == "latest":
                leases.start_latest(db, catalog, self._group, self._topics)
        self._wakeups.announce(None)

    def leave(self) -> None:
        try:
            with self._engine.writer.transaction() as db:
                leases.remove_members(db, "id = ?", (self._me,))
        except LogError:
            return  # the log is closed or dead: the others notice that the process is gone
        self._wakeups.announce(None)

    def balance(self, own: Holdings) -> leases.LeasePlan:
        """Give back and claim as the group now stands; what this member then owns.

        Raises ``Fenced`` when it was taken for dead and another goes by its name now.
        """
        catalog = self._engine.catalog
        keep = {catalog.tp(*place) for place, holding in own.held.items() if holding.returned >= 0}
        planned = leases.plan(self._db, catalog, self._group, self._me, self._topics, keep)
        if not planned.joined:
            self._rejoin(own)
            planned = leases.plan(self._db, catalog, self._group, self._me, self._topics, set())
        if planned.give or planned.claim:
            with self._engine.writer.transaction() as db:
                planned = leases.plan(db, catalog, self._group, self._me, self._topics, keep)
                leases.apply(db, catalog, self._group, self._me, planned)
            if planned.give:
                self._wakeups.announce(None)
            planned = leases.plan(self._db, catalog, self._group, self._me, self._topics, keep)
        self.settled = planned.joined and not (planned.leaving or planned.give or planned.claim)
        return planned

    def position(self, place: Place) -> int | None:
        catalog = self._engine.catalog
        return leases.position(self._db, catalog, self._group, catalog.tp(*place))

    def advance(self, db: apsw.Connection, own: Holdings, places: Sequence[Place], done: Sequence[Advance]) -> None:
        """Within a transaction. Raises ``Fenced`` unless this member has all of the places."""
        self._check(db, own, places)
        if not places:
            self._check_name(db, own)
        leases.advance(db, self._engine.catalog, self._group, done)

    def move(self, db: apsw.Connection, own: Holdings, targets: dict[Place, int]) -> None:
        """Within a transaction: reading goes on at these cursors. Raises ``Fenced``."""
        self._check(db, own, list(targets))
        for place, cursor in targets.items():
            leases.set_position(db, self._group, self._engine.catalog.tp(*place), cursor - 1)

    def _check(self, db: apsw.Connection, own: Holdings, places: Sequence[Place]) -> None:
        catalog = self._engine.catalog
        epochs = {catalog.tp(*place): own.held[place].epoch for place in places}
        if gone := leases.lost(db, self._group, self._me, epochs):
            raise Fenced(leases.places(catalog, gone))

    def _rejoin(self, own: Holdings) -> None:
        """Taken for dead: come back as a new member, unless another goes by this name now."""
        self._check_name(self._db, own)
        self.join("earliest")

    def _check_name(self, db: apsw.Connection, own: Holdings) -> None:
        found = db.execute("SELECT id FROM member WHERE grp = ? AND name = ?", (self._group, self._member)).get
        if found not in (None, self._me):
            if lost := own.abandon():
                raise Fenced(lost)
            raise LogError(f"another reader joined group '{self._group_name}' as '{self._member}'; names must differ")
