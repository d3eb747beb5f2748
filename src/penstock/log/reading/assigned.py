"""What a reader remembers of a partition that it owns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..interface import Advance, OwnedPartition

Place = tuple[str, int]  # topic, partition


@dataclass(slots=True)
class Holding:
    """One partition in one reader's hands. ``cursor``: reading goes on with the first event at or after it."""

    place: Place
    epoch: int
    cursor: int
    paused: bool = False
    leaving: bool = False  # above this member's share: read no more of it, and give it back once all is committed
    stuck: bool = False  # damaged at the cursor: stays put until a seek
    returned: int = -1  # last position handed to the caller and not yet known to be committed; -1: none
    through: int = field(init=False)  # the group's position, or where it begins; -1: before all events

    def __post_init__(self) -> None:
        self.through = self.cursor - 1

    @property
    def readable(self) -> bool:
        return not (self.paused or self.leaving or self.stuck)

    def committed(self, through: int) -> None:
        self.through = through
        if through >= self.returned:
            self.returned = -1

    def moved(self, cursor: int) -> None:
        self.cursor, self.returned, self.stuck = cursor, -1, False
        self.through = cursor - 1


@dataclass(slots=True)
class Holdings:
    """All partitions of one reader, and those it lost while the caller still had rows of them.

    The second kind matters: this reader may be given the partition again, and a commit of rows read in the former
    epoch would then pass for one of the new. So a partition stays in ``lost`` and is not read until a commit or a seek
    names it; that commit is refused.
    """

    held: dict[Place, Holding] = field(default_factory=dict)
    lost: set[Place] = field(default_factory=set)

    def drop(self, place: Place) -> None:
        holding = self.held.pop(place, None)
        if holding is not None and holding.returned >= 0:
            self.lost.add(place)

    def owned(self, topic: str) -> dict[int, OwnedPartition]:
        return {
            partition: OwnedPartition(holding.epoch, holding.through if holding.through >= 0 else None)
            for (name, partition), holding in self.held.items()
            if name == topic
        }

    def answered_for(self, done: Sequence[Advance]) -> list[Place]:
        """The places of which a commit must have lost none: without advances all, also those lost and not yet told."""
        return [(advance.topic, advance.partition) for advance in done] or sorted({*self.held, *self.lost})

    def refuse(self, places: Iterable[Place]) -> list[Place]:
        """The places of a commit that fencing refuses, each told once."""
        gone = [place for place in dict.fromkeys(places) if place in self.lost or place not in self.held]
        self.lost.difference_update(gone)
        return gone

    def abandon(self) -> list[Place]:
        """Forget everything; returns what it was."""
        gone = sorted({*self.held, *self.lost})
        self.held.clear()
        self.lost.clear()
        return gone
