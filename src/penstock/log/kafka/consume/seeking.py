"""Where a seek leads, in Kafka's terms."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from confluent_kafka import TopicPartition

from ...reading.assigned import Place
from ...reading.seeking import check_target, microseconds
from ..topics.catalog import ClusterCatalog
from .consumer import Committed, GroupConsumer


def last_committed(catalog: ClusterCatalog, membership: GroupConsumer, place: Place) -> Committed:
    """Where the group stands; the earliest event for one that has no position."""
    asked = TopicPartition(catalog.name(place[0]), place[1])
    found = Committed.of(membership.committed([asked])[0])
    return found or Committed(catalog.offsets([place], "earliest")[place])


def target(
    catalog: ClusterCatalog, place: Place, to: int | datetime | Literal["earliest", "latest"] | str
) -> Committed:
    """Raises ``LogError`` for a position or a time that cannot be sought."""
    end = catalog.offsets([place], "latest")[place]
    if isinstance(to, datetime):
        milliseconds = -(-microseconds(to) // 1_000)
        at = catalog.offsets([place], milliseconds)[place]
        return Committed(end if at < 0 else at)
    earliest = catalog.offsets([place], "earliest")[place]
    if isinstance(to, int):
        numbering = catalog.numbering(place[0])
        check_target(place, to, numbering.position(end))
        offset, row = numbering.place(to)
        return Committed(offset, row) if offset >= earliest else Committed(earliest)
    return Committed(earliest if to == "earliest" else end)
