"""Reading what is there, of topics that others write all the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..batch import Batch
from ..log.interface import Reader


def drained(
    reader: Reader, there: Mapping[int, int], wait: float, *, at_once: int, limit: int | None = None
) -> Iterator[Sequence[Batch]]:
    """What a reader of one topic had before it when its partitions ended ``there``: rows at once, and in all.

    What comes meanwhile is given as far as it comes along, and never run after: there would be no end to a topic that
    is written faster than a look at it takes, which on a cluster is some milliseconds. ``wait``: seconds for the first.
    """
    left = at_once if limit is None else limit
    while left > 0 and (batches := reader.read(min(left, at_once), wait)):
        yield batches
        if limit is not None:
            left -= sum(map(len, batches))
        if all(batch.through >= there.get(batch.partition, 0) for batch in batches):
            return
        wait = 0.0
