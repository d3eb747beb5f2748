"""Rows that a stage has stored twice.

Without transactions a stage that is killed between its outputs and its positions makes the same rows again, and stores
them behind the first. They have the same ids: of one stage, the parent's place and the ordinal among its children tell
a row from any other. A reader hands out the first and drops the others.

What it knows are the last ``WINDOW_ROWS`` of the partition, and after a start those of the last few records before its
place. A row that it takes for a repeat is one, whatever order rows came in: what it has forgotten is doubled, and
never lost.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....batch import Positions, column
from ..records.interface import Chunk
from ..records.positions import PositionScheme

WINDOW_ROWS = 262_144  # rows of one partition that are remembered, of 16 bytes each
RECORDS, BATCHES = 4_096, 64  # records before a reader's place that are looked at, of one event and of many

Mask = npt.NDArray[np.bool_]
Ordinals = npt.NDArray[np.int64]
_Parents = tuple[str, str, int]  # the stage, and the topic and the partition that it read


def records_before(numbering: PositionScheme) -> int:
    """How many records before its place a reader looks at, to know what was stored before."""
    return BATCHES if numbering.bits else RECORDS


class Deduplication:
    """Of one partition, in its order. Used by one thread at a time."""

    def __init__(self, window: int = WINDOW_ROWS) -> None:
        self._window = window
        self._rows = 0
        self._seen: deque[tuple[_Parents, Positions, Ordinals]] = deque()
        self._newest: dict[_Parents, tuple[int, int]] = {}

    def fresh(self, chunk: Chunk) -> Mask:
        """Which rows were not there before; from now on all of them were."""
        found: Mask = np.ones(len(chunk.positions), np.bool_)
        if chunk.rows is None or chunk.origin is None or chunk.rows.schema.get_field_index("_parent") < 0:
            return found
        partitions, parents, ordinals = (_numbers(chunk.rows, name) for name in _COLUMNS)
        for partition in np.unique(partitions).tolist():
            rows = np.flatnonzero((partitions == partition) & (parents >= 0))
            if len(rows):
                made_by = (chunk.origin.stage, chunk.origin.topic, int(partition))
                found[rows] = self._fresh(made_by, parents[rows], ordinals[rows])
        return found

    def _fresh(self, made_by: _Parents, parents: Positions, ordinals: Ordinals) -> Mask:
        newest = self._newest.get(made_by, (-1, 0))
        if newest < (int(parents[0]), int(ordinals[0])) and _rising(parents, ordinals):
            found: Mask = np.ones(len(parents), np.bool_)
        else:
            found = self._one_by_one(made_by, parents, ordinals)
        self._remember(made_by, parents[found], ordinals[found])
        return found

    def _one_by_one(self, made_by: _Parents, parents: Positions, ordinals: Ordinals) -> Mask:
        """Only where an order was broken, as after a kill."""
        seen: set[tuple[int, int]] = set()
        for earlier, theirs, places in self._seen:
            if earlier == made_by:
                hit = np.isin(theirs, parents)
                seen.update(zip(theirs[hit].tolist(), places[hit].tolist(), strict=True))
        found = np.ones(len(parents), np.bool_)
        for row, key in enumerate(zip(parents.tolist(), ordinals.tolist(), strict=True)):
            found[row] = key not in seen
            seen.add(key)
        return found

    def _remember(self, made_by: _Parents, parents: Positions, ordinals: Ordinals) -> None:
        if not len(parents):
            return
        last = np.lexsort((ordinals, parents))[-1]
        newest = (int(parents[last]), int(ordinals[last]))
        self._newest[made_by] = max(newest, self._newest.get(made_by, newest))
        self._seen.append((made_by, parents, ordinals))
        self._rows += len(parents)
        while self._rows > self._window and len(self._seen) > 1:
            self._rows -= len(self._seen.popleft()[1])


_COLUMNS = ("_parent_partition", "_parent", "_ordinal")


def _numbers(rows: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
    """Nulls are 0 among the ordinals, which is what they mean, and nowhere a place."""
    filled = column(rows, name).cast(pa.int64()).fill_null(0 if name == "_ordinal" else -1)
    values: npt.NDArray[np.int64] = filled.to_numpy()
    return values


def _rising(parents: Positions, ordinals: Ordinals) -> bool:
    """Whether each row is behind the one before, so that none of them can be there twice."""
    steps = np.diff(parents)
    return bool(((steps > 0) | ((steps == 0) & (np.diff(ordinals) > 0))).all())
