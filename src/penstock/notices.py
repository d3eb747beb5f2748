"""What goes wrong and needs a person, told where a user looks first: a line in the log, and a warning in /readyz.

``tell`` is for what stands until it is mended, or until it is said that it is over. This process's notices go with
its status (``run.process``) to /readyz. What merely happens goes to the log alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

from .telemetry import logger

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

    def settle(self, key: str) -> None:
        """It is over, or was never so."""
        with self._lock:
            self._standing.pop(key, None)

    def standing(self) -> tuple[Notice, ...]:
        with self._lock:
            return tuple(self._standing.values())


_notices = Notices()


def notices() -> Notices:
    """This process's, as its metrics are."""
    return _notices
