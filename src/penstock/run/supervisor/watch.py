"""Which of the user's files changed, by looking at their times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...clock import Clock

INTERVAL_S = 0.3  # seconds between two looks


class Watch:
    """``files`` are those that an import of the app read from where it lies, its own first.

    The modules beside it count too: one that an edit forgot, and that is written next, is a change.
    """

    def __init__(self, files: Sequence[Path], clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._seen = self._look()
        self._next = clock.monotonic()

    def changed(self) -> list[Path]:
        """The files changed since the last answer; nothing between two looks, and no change is told twice."""
        if self._clock.monotonic() < self._next:
            return []
        self._next = self._clock.monotonic() + INTERVAL_S
        now = self._look()
        changed = [path for path, stamp in now.items() if self._seen.get(path) != stamp]
        # A file that is gone for a moment is an editor at work: what it writes next is the change.
        self._seen |= now
        return changed

    def _look(self) -> dict[Path, tuple[int, int]]:
        beside = self._files[0].parent.glob("*.py")
        return {path: stamp for path in {*self._files, *beside} if (stamp := _stamp(path)) is not None}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
