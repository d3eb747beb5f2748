"""Rows that no record of the log holds: what they were made of goes to the dead letters, and letters keep what fits.

A log in a file has no such limit. One of records refuses the whole commit and says which rows it was; trying again
would change nothing, and the partition would be held for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ...batch import DEAD, Batch, Indices, Write
from ...errors import RowsTooLarge
from ..interface import Failure, Outcome, Output, Work
from .dead import LEFT_OUT

Event = tuple[int, int]  # partition and position in the stage's source


def within_limits(
    batches: Sequence[Batch], work: Work, outcome: Outcome, writes: Sequence[Write], error: RowsTooLarge
) -> tuple[Sequence[Batch], Outcome]:
    """Both, so that ``writes``, of which ``error`` speaks, would fit.

    Events that made a row too large fail, with all that they made. Dead letters that are too large lose their data.
    Raises ``error`` where there is nothing of that kind.
    """
    makers, letters = events_of(writes, error)
    failed = {(int(work.partitions[f.row]), int(work.positions[f.row])): f for f in outcome.failures}
    new = makers - failed.keys()
    long = {event for event, failure in failed.items() if event in letters and not failure.bare}
    broken = letters & {(b.partition, r.position) for b in batches for r in b.rejected if r.payload}
    if not (new or long or broken):
        raise error
    rows = np.sort([_row(work, event) for event in new]).astype(np.int64)
    failures = [replace(f, bare=True) if event in long else f for event, f in failed.items()]
    failures += [Failure(int(row), "TooLarge", str(error), "", 1) for row in rows]
    left = replace(outcome, outputs=[without(output, rows) for output in outcome.outputs], failures=failures)
    return [_without_payloads(batch, broken) for batch in batches], left


def events_of(writes: Sequence[Write], error: RowsTooLarge) -> tuple[set[Event], set[Event]]:
    """Those that made rows too large, and those whose letters are."""
    makers: set[Event] = set()
    letters: set[Event] = set()
    for place, rows in error.rows.items():
        found, dead = writes[place].rows, writes[place].topic == DEAD
        names = ["partition", "offset"] if dead else ["_parent_partition", "_parent"]
        if not set(names) <= set(found.schema.names):
            raise error  # it was made of no event
        columns = found.select(names).take(pa.array(rows)).columns
        (letters if dead else makers).update(zip(*(column.to_pylist() for column in columns), strict=True))
    return makers, letters


def _row(work: Work, event: Event) -> int:
    partition, position = event
    return int(np.flatnonzero((work.partitions == partition) & (work.positions == position))[0])


def without(output: Output, rows: Indices) -> Output:
    """Less what these rows of the work made."""
    if output.parents is None:
        return output
    kept = np.flatnonzero(~np.isin(output.parents, rows))
    partitions = None if output.partitions is None else output.partitions[kept]
    return replace(output, rows=output.rows.take(pa.array(kept)), parents=output.parents[kept], partitions=partitions)


def _without_payloads(batch: Batch, events: set[Event]) -> Batch:
    rejected = [
        replace(r, payload=b"", reason=f"{r.reason}; {LEFT_OUT}") if (batch.partition, r.position) in events else r
        for r in batch.rejected
    ]
    return replace(batch, rejected=rejected)
