"""How many brokers have a record when it is acknowledged.

``acks=all`` waits for all replicas that are in sync at that moment, and that may be one: as Kafka comes, a topic asks
for no more (``min.insync.replicas=1``). And a broker answers before its disk has the record, since another broker has
it too (``flush.messages``; "Application vs. OS Flush Management" in Kafka's documentation).
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from ....errors import LogError, LogUnreachable
from ....telemetry import logger
from ..cluster.client import ask, until_known
from .declaration import set_on, settings_of

IN_SYNC, FLUSH, UNCLEAN = "min.insync.replicas", "flush.messages", "unclean.leader.election.enable"

log = logger(__name__)


class Durability:
    """For all topics of a log. What is weak is told once, not of every topic again."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._told: set[str] = set()

    def see_to(self, name: str, *, made: bool) -> None:
        """Of the topic of this name on the cluster. One that was just ``made`` is given what it lacks."""
        try:
            replicas, settings = until_known(lambda: self._as_it_is(name)) if made else self._as_it_is(name)
            if made and (needed := wanted(replicas)) > int(settings.get(IN_SYNC, needed)):
                asked = {IN_SYNC: str(needed)}
                until_known(lambda: set_on(self._admin, name, asked, f"ask for {needed} replicas in sync"))
                return
        except LogUnreachable:
            raise
        except LogError as error:
            weak: str | None = f"whether several brokers have what is accepted is not sure: {error}"
        else:
            weak = weakness(replicas, settings)
        if weak is not None and weak not in self._told:
            self._told.add(weak)
            log.warning(f"{weak} (docs/kafka.md)", topic=name)

    def _as_it_is(self, name: str) -> tuple[int, dict[str, str]]:
        """Replicas, of the partition that has the fewest, and settings."""
        found = ask("ask for a topic's replicas", lambda: self._admin.describe_topics(TopicCollection([name])))
        return min(len(partition.replicas) for partition in found[name].partitions), settings_of(self._admin, name)


def wanted(replicas: int) -> int:
    """Of how many replicas more than half have a record before it is acknowledged.

    Of two that is left at one: with both asked for, nothing could be stored while either is away.
    """
    return replicas // 2 + 1 if replicas > 2 else 1


def weakness(replicas: int, settings: Mapping[str, str]) -> str | None:
    """What may take accepted events of such a topic; ``None``: less than two brokers, or a disk, takes none."""
    if settings.get(UNCLEAN) == "true":
        return f"topics here may go on with a broker that lacks accepted events. Set {UNCLEAN}=false on them"
    if IN_SYNC not in settings or settings.get(FLUSH) == "1":
        return None  # not Apache Kafka's way to store, or each record is on the disk before it is acknowledged
    if replicas == 1:
        return (
            "topics here have one replica, and its broker accepts what is not on its disk yet: a power loss takes "
            "accepted events. For events that matter have three brokers, or log.flush.interval.messages=1 on the one"
        )
    if int(settings[IN_SYNC]) < 2:
        return (
            f"topics here have {replicas} replicas and accept what one of them has: while others are behind, the loss "
            f"of a broker takes accepted events. Set {IN_SYNC}={max(wanted(replicas), 2)} on them"
        )
    return None
