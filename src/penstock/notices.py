"""What goes wrong and needs a person, told where a user looks first: a line in the log, and a warning in /readyz.

``tell`` is for what stands until it is mended, or until it is said that it is over. This process's notices go with
its status (``run.process``) to /readyz. What merely happens goes to the log alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from .telemetry import logger

PERIOD_S = 10.0  # seconds between two lines about what goes on and on
MOST = 100  # notices that stand at once; what comes after them is in the log alone

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """``place`` is file:line of the user's code, ``mend`` what to do about it."""

    reason: str
    stage: str = ""
    place: str = ""
    mend: str = ""

    def fields(self) -> dict[str, Any]:
        """The fields that are known, but the reason."""
        found = {"stage": self.stage, "place": self.place, "mend": self.mend}
        return {name: value for name, value in found.items() if value}


class Notices:
    """What stands, by key. For any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._standing: dict[str, Notice] = {}

    def tell(self, key: str, reason: str, *, stage: str = "", place: str = "", mend: str = "") -> None:
        """Say it once, and keep it standing. The same key with another reason is said again, and takes its place."""
        notice = Notice(reason, stage, place, mend)
        with self._lock:
            if self._standing.get(key) == notice:
                return
            if key in self._standing or len(self._standing) < MOST:
                self._standing[key] = notice
        log.warning(reason, **notice.fields())

    def stand(self, key: str, notice: Notice) -> None:
        """Keep what another process has said already."""
        with self._lock:
            self._standing[key] = notice

    def settle(self, key: str) -> None:
        """It is over, or was never so."""
        with self._lock:
            self._standing.pop(key, None)

    def standing(self) -> tuple[Notice, ...]:
        return tuple(self.by_key().values())

    def by_key(self) -> dict[str, Notice]:
        with self._lock:
            return dict(self._standing)


class Tally:
    """What happens again and again, such as events that are dead-lettered: the first is told at once, those after it
    together, in a line every ``PERIOD_S`` seconds at most. Used by one thread at a time."""

    def __init__(
        self, key: str, what: str, *, stage: str, now: Callable[[], float] = time.monotonic, to: Notices | None = None
    ) -> None:
        self._key, self._what, self._stage = key, what, stage
        self._now, self._to = now, to or notices()
        self._count, self._said, self._at = 0, 0, 0.0
        self._last = Notice("")

    def add(self, count: int, last: str, *, place: str = "", mend: str = "") -> None:
        self._count += count
        self._last = Notice(last, self._stage, place, mend)
        self.flush()

    def flush(self) -> None:
        """Say what was not said yet, if it is time to."""
        if self._count == self._said or (self._said and self._now() < self._at + PERIOD_S):
            return
        self._said, self._at = self._count, self._now()
        last = self._last
        reason = f"{self._what}: {self._count:,}; the last: {last.reason}"
        self._to.tell(self._key, reason, stage=last.stage, place=last.place, mend=last.mend)


_notices = Notices()


def notices() -> Notices:
    """This process's, as its metrics are."""
    return _notices
