"""The envelope of rows that become objects, filled in: their ids, their times and where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from ..batch import Positions, column, event_ids
from .emit import with_columns
from .interface import Work


def ids(work: Work) -> list[str]:
    """Each row's id, as every reader of the log sees it: ``batch.event_ids``."""
    found = [""] * len(work)
    for partition in np.unique(work.partitions).tolist():
        rows = np.flatnonzero(work.partitions == partition)
        for row, id in zip(rows.tolist(), event_ids(work.batch(partition)).to_pylist(), strict=True):
            found[row] = id
    return found


def times(work: Work) -> pa.Array:
    """Each row's event time; else when it was appended."""
    return times_of(work.rows, work.appended)


def times_of(rows: pa.RecordBatch, appended: Positions) -> pa.Array:
    """The same of rows that were appended then, in microseconds since the epoch."""
    return column(rows, "_time").fill_null(pa.array(appended).cast(pa.timestamp("us", tz="UTC")))


def placed(work: Work) -> Work:
    """The rows with where they are, by which what a function logs of one names it."""
    where = {"_partition": pa.array(work.partitions), "_offset": pa.array(work.positions)}
    return replace(work, rows=with_columns(work.rows, where))


def enveloped(work: Work) -> Work:
    """The rows as a function that takes ``ps.Event`` needs them: see ``Runner.apply``."""
    filled = {
        "_id": pa.array(ids(work), pa.string()),
        "_time": times(work),
        "_partition": pa.array(work.partitions),
        "_offset": pa.array(work.positions),
    }
    return replace(work, rows=with_columns(work.rows, filled))
