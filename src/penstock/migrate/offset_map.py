"""Two growing sequences of whole numbers side by side, such as positions and how many rows come before each.

Where both grow by one from row to row a run of four numbers says it all, so a log's million events take as little room
as the records that hold them.
"""

from __future__ import annotations

import numpy as np

from ..batch import Positions


class Runs:
    """Strictly increasing keys with strictly increasing values, none below 0."""

    def __init__(self) -> None:
        self._rows = np.empty((16, 4), np.int64)  # first key, first value, length, how many keys are before
        self._count = 0
        self.total = 0

    def add(self, keys: Positions, values: Positions) -> None:
        """All beyond what is there."""
        if not len(keys):
            return
        breaks = np.flatnonzero((np.diff(keys) != 1) | (np.diff(values) != 1)) + 1
        starts = np.concatenate([[0], breaks])
        lengths = np.diff(starts, append=len(keys))
        self._extend(np.stack([keys[starts], values[starts], lengths, self.total + starts], axis=1))
        self.total += len(keys)

    def values_of(self, keys: Positions) -> Positions:
        """Each key's value; of a key that is not there ``gone(key)``, and of one that was gone before itself."""
        return self._translate(keys, 0, 1)

    def keys_of(self, values: Positions) -> Positions:
        """The same the other way round."""
        return self._translate(values, 1, 0)

    def before(self, key: int) -> int:
        """How many keys are smaller."""
        rows = self._rows[: self._count]
        place = int(np.searchsorted(rows[:, 0], key)) - 1
        if place < 0:
            return 0
        return int(rows[place, 3]) + min(key - int(rows[place, 0]), int(rows[place, 2]))

    def _extend(self, new: Positions) -> None:
        if self._count:
            last = self._rows[self._count - 1]
            if last[0] + last[2] == new[0, 0] and last[1] + last[2] == new[0, 1]:
                last[2] += new[0, 2]
                new = new[1:]
        end = self._count + len(new)
        if end > len(self._rows):
            grown = np.empty((max(end, 2 * len(self._rows)), 4), np.int64)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : end] = new
        self._count = end

    def _translate(self, wanted: Positions, here: int, there: int) -> Positions:
        rows = self._rows[: self._count]
        if not len(rows):
            return gone(wanted)
        places = np.maximum(np.searchsorted(rows[:, here], wanted, side="right") - 1, 0)
        within = wanted - rows[places, here]
        found = (within >= 0) & (within < rows[places, 2])
        translated: Positions = np.where(found, rows[places, there] + within, gone(wanted))
        return translated


def gone(positions: Positions) -> Positions:
    """Positions of events that are no longer there: below 0, so that they never are another event's; -1 is that of
    position 0. One that is below 0 stays as it is."""
    said: Positions = np.where(positions < 0, positions, -1 - positions)
    return said
