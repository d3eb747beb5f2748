"""Events and positions from one log to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Literal

import numpy as np

from ..batch import AppendResult, Batch, TopicSpec, Write
from ..errors import CannotStart, RowsTooLarge
from ..log.interface import Seek
from ..run.compose.backends import AppLog
from .comparing import unlimited
from .inventory import Progress, Survey, count
from .offset_map import Runs
from .parents_first import Place, rounds
from .translate import moved, translated


def create(log: AppLog, topics: Sequence[TopicSpec]) -> None:
    """Without a limit of retention: what is copied must not expire before it has been compared."""
    for topic in topics:
        log.create(unlimited(topic))


def copy(
    source: AppLog, target: AppLog, topics: Sequence[TopicSpec], there: Survey, progress: Progress
) -> tuple[Mapping[Place, Runs], Mapping[Place, Runs]]:
    """Append what the target lacks; ``there`` is what it has, the first rows of each partition. Returns the ranks of
    the positions on both: those of the source, those of the target. Raises ``CannotStart`` for an event that the
    target does not hold."""
    places = [(topic.name, p) for topic in topics for p in range(topic.partitions)]
    read = {place: Runs() for place in places}
    stored = {place: there.ranks.get(place, Runs()) for place in places}
    find = moved(read, stored)
    for found in rounds(source, [topic.name for topic in topics]):
        lacking = [part for batch in found.batches if len(part := _lacking(batch, read, stored))]
        try:
            spans = target.append([Write(b.topic, b.partition, translated(b, find), b.origin) for b in lacking])
        except RowsTooLarge as error:
            raise _too_large(lacking, error) from None
        for span in spans:
            _note(stored, span)
        for batch in found.batches:
            count(read[batch.topic, batch.partition], batch.positions)
            progress(len(batch))
    return read, stored


def _lacking(batch: Batch, read: Mapping[Place, Runs], stored: Mapping[Place, Runs]) -> Batch:
    place = (batch.topic, batch.partition)
    return batch.slice(min(max(stored[place].total - read[place].total, 0), len(batch)), len(batch))


def _too_large(batches: Sequence[Batch], error: RowsTooLarge) -> CannotStart:
    place, rows = next(iter(error.rows.items()))
    batch = batches[place]
    return CannotStart(
        f"{batch.topic}/{batch.partition}/{batch.positions[rows[0]]} cannot be copied: {error}; nothing behind it was. "
        f"Let it expire on the source (retain= of '{batch.topic}'), and start this again"
    )


def _note(stored: Mapping[Place, Runs], span: AppendResult) -> None:
    count(stored[span.topic, span.partition], span.positions)


def place_groups(
    log: AppLog, positions: Mapping[tuple[str, Place], int], stored: Mapping[Place, Runs], progress: Progress
) -> None:
    """Let each group go on with the row of that rank."""
    groups: dict[str, dict[Place, int]] = {}
    for (group, place), rank in positions.items():
        groups.setdefault(group, {})[place] = rank
    for group, ranks in groups.items():
        with closing(log.reader(group, sorted({topic for topic, _ in ranks}), "migrate")) as reader:
            for place, rank in ranks.items():
                reader.seek(Seek(*place, _where(stored[place], rank)))
            progress(1)


def _where(stored: Runs, rank: int) -> int | Literal["latest"]:
    return "latest" if rank >= stored.total else int(stored.keys_of(np.array([rank], np.int64))[0])
