"""The thread of a process that reads: it beats its heart, rings its bells and buries dead neighbours."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from ...errors import LogError, LogFull
from ..processes.heartbeat import Heartbeat
from ..processes.wake import Wakeups
from .leases import remove_members
from .store.engine import Engine
from .store.transaction import translated

INTERVAL_S = 0.5  # seconds between looks at the neighbours; a dead one's partitions move within two
EXPIRE_INTERVAL_S = 30.0  # seconds between looks at what retention may remove though nobody appends


class Pulse:
    def __init__(self, engine: Engine, presence: Heartbeat, wakeups: Wakeups) -> None:
        self._engine = engine
        self._presence = presence
        self._wakeups = wakeups
        self._db = engine.connect()
        self._stopped = False
        self._expire_at = time.monotonic() + EXPIRE_INTERVAL_S
        wakeups.bind()
        with suppress(LogFull):  # then a later look tries again; reading needs no space
            self._look()  # before the first lease is asked for: what a crash left behind goes now
        self._thread = threading.Thread(target=self._run, name="penstock-pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._wakeups.interrupt()
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped:
            self._wakeups.listen(max(0.0, due - time.monotonic()))
            if time.monotonic() < due:
                continue
            due = time.monotonic() + INTERVAL_S
            try:
                self._look()
                self._expire()
            except LogError:  # every other call says so too, to somebody who can act on it
                self._wakeups.ring(None)

    def _look(self) -> None:
        self._presence.beat()
        living = self._presence.gone(self._remove)
        with translated(self._engine.path):
            processes = {process for (process,) in self._db.execute("SELECT DISTINCT process FROM member")}
        for process in processes - living:
            self._remove(process)

    def _remove(self, process: str) -> None:
        with translated(self._engine.path):
            if self._db.execute("SELECT 1 FROM member WHERE process = ?", (process,)).get is None:
                return
        with self._engine.writer.transaction() as db:
            remove_members(db, "process = ?", (process,))
        self._wakeups.announce(None)

    def _expire(self) -> None:
        if time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + EXPIRE_INTERVAL_S
            self._engine.expire()
