"""A migration: what the target lacks is copied, then both are read again and compared.

It keeps no notes of its own. What is on the target must be the first rows of the source's, partition by partition, or
the target is refused; so one that was interrupted goes on where it stood, and one that is done changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ..batch import SNAPSHOTS, SYSTEM, TopicSpec
from ..clock import Clock, SystemClock
from ..errors import CannotStart
from ..models.artifacts import Artifacts
from ..run.compose.backends import AppLog
from .comparing import Difference, LogContent, compare, declared, registered
from .copying import copy, create, place_groups
from .inventory import Progress, Survey, group_ranks, survey
from .models import carry, copy_artifacts
from .translate import moved

LOOK_S = 0.5  # seconds between two looks for members

Step = Callable[[str, int], AbstractContextManager[Progress]]
"""Begins a step: what it does, and how many events or groups it has to do that with."""


@dataclass(frozen=True, slots=True)
class End:
    """``owners``: whether a group's owner there must be alive. In a directory it may be what a killed run left.

    ``noticed``: seconds within which a member that is gone is known to be. One that ends while its group shares out the
    partitions is known only after its time-out.
    """

    name: str
    log: AppLog
    artifacts: Artifacts
    owners: bool
    noticed: float = 0.0
    clock: Clock = field(default_factory=SystemClock)


def migrate(source: End, target: End, step: Step) -> list[Difference]:
    """The comparison, line by line. Raises ``CannotStart`` for what is in use, and for a target with other events."""
    for end in (source, target):
        _refuse_use(end)
    declared_topics = source.log.topics()
    # A snapshot names positions, and says nothing that the events do not, unless they are gone: see ``carry``.
    topics = [topic for topic in declared_topics if topic.name != SNAPSHOTS]
    there = _look(source, target, topics, step)
    total = _events(source.log, topics)
    create(target.log, declared_topics)
    with step("copying", total) as progress:
        read, stored = copy(source.log, target.log, topics, there, progress)
    if SYSTEM in {topic.name for topic in topics}:
        copy_artifacts(source.log, source.artifacts, target.artifacts)
    positions = group_ranks(source.log, read)
    with step("positions", len({group for group, _ in positions})) as progress:
        place_groups(target.log, positions, stored, progress)
    if SNAPSHOTS in {topic.name for topic in declared_topics}:
        carry(source.log, target.log, moved(read, stored), stored)
    return _compared(source, target, topics, total, step)


def _refuse_use(end: End) -> None:
    if not end.owners:
        return
    until = end.clock.monotonic() + end.noticed
    while busy := {state.group for state in end.log.groups() if state.owner is not None}:
        if end.clock.monotonic() >= until:
            raise CannotStart(
                f"{end.name} is in use: groups with members are {', '.join(sorted(busy))}; stop every `penstock run` "
                "on it, and if one was killed, wait until the brokers have noticed"
            )
        end.clock.sleep(LOOK_S)


def _look(source: End, target: End, topics: Sequence[TopicSpec], step: Step) -> Survey:
    """What the target holds of these topics. Raises ``CannotStart`` unless it is what the source begins with."""
    names = {topic.name for topic in topics}
    known = [topic for topic in target.log.topics() if topic.name in names]
    with step("looking at the target", _events(target.log, known)) as progress:
        there = survey(target.log, known, progress)
    counts = {place: runs.total for place, runs in there.ranks.items()}
    groups = group_ranks(target.log, there.ranks)
    if any(counts.values()) or any(groups.values()):
        with step("looking at the source", _events(source.log, topics)) as progress:
            here = survey(source.log, topics, progress, counts)
        ours = group_ranks(source.log, here.ranks)
        other = [f"topic '{t}'" for t, p in counts if here.digests.get((t, p)) != there.digests[t, p]]
        other += [f"group '{group}'" for (group, place), rank in groups.items() if ours.get((group, place), 0) != rank]
        if other:
            raise CannotStart(
                f"{target.name} holds what did not come from {source.name}: {', '.join(dict.fromkeys(other))}; "
                "choose an empty directory, or another namespace on the cluster: kafka://HOST:PORT/NAMESPACE"
            )
    return there


def _compared(source: End, target: End, topics: Sequence[TopicSpec], total: int, step: Step) -> list[Difference]:
    names = [topic.name for topic in topics]
    with step("comparing", 2 * total) as progress:
        sides = [LogContent.of(end.log, names, progress) for end in (source, target)]
    lines = list(compare(*sides))
    lines += registered(source.log, target.log, target.artifacts)
    if done := all(line.same for line in lines):
        for topic in source.log.topics():
            target.log.create(topic)  # from now on its events expire
    return [*declared(source.log, target.log, expiring=done), *lines]


def _events(log: AppLog, topics: Sequence[TopicSpec]) -> int:
    return sum(state.events for topic in topics for state in log.partitions(topic.name))
