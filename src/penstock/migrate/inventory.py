"""What a log holds, said so that two logs can be compared: by how many rows come before, never by positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..batch import Batch, TopicSpec
from ..run.compose.backends import AppLog
from .digest import Digest
from .offset_map import Runs
from .parents_first import Place, rounds
from .translate import ranks, translated

Progress = Callable[[int], None]
"""Told how many more events have been dealt with."""


@dataclass(frozen=True, slots=True)
class Survey:
    """``ranks``: each position's, by partition."""

    ranks: Mapping[Place, Runs]
    digests: Mapping[Place, str]
    undecodable: Mapping[Place, int] = field(default_factory=dict)

    def count(self, place: Place) -> int:
        return self.ranks[place].total


def survey(
    log: AppLog, topics: Sequence[TopicSpec], progress: Progress, first: Mapping[Place, int] | None = None
) -> Survey:
    """Reads everything. With ``first`` the digests are of so many first rows of each partition."""
    specs = {topic.name: topic for topic in topics}
    places = [(topic.name, p) for topic in topics for p in range(topic.partitions)]
    known, digests = {place: Runs() for place in places}, {place: Digest() for place in places}
    undecodable = dict.fromkeys(places, 0)
    for found in rounds(log, list(specs)):
        for place, _ in found.rejected:
            undecodable[place] += 1
        for batch in found.batches:
            place = (batch.topic, batch.partition)
            limit = None if first is None else first.get(place, 0)
            for part in _upto(batch, limit, known[place].total):
                digests[place].add(part, translated(part, ranks(known)), specs[batch.topic])
        for batch in found.batches:
            count(known[batch.topic, batch.partition], batch.positions)
            progress(len(batch))
    return Survey(known, {place: digest.hex() for place, digest in digests.items()}, undecodable)


def count(known: Runs, positions: np.ndarray) -> None:
    """Take in the positions of the next rows of a partition."""
    known.add(positions, np.arange(known.total, known.total + len(positions), dtype=np.int64))


def group_ranks(log: AppLog, known: Mapping[Place, Runs]) -> dict[tuple[str, Place], int]:
    """How many of a partition's rows each group has dealt with; of one that stands at the beginning, none."""
    return {
        (state.group, place): 0 if state.through is None else known[place].before(state.through + 1)
        for state in log.groups()
        if (place := (state.topic, state.partition)) in known
    }


def _upto(batch: Batch, limit: int | None, done: int) -> Iterator[Batch]:
    left = len(batch) if limit is None else min(limit - done, len(batch))
    if left > 0:
        yield batch.slice(0, left)
