"""What a reader remembers of a partition that it owns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

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

    @property
    def readable(self) -> bool:
        return not (self.paused or self.leaving or self.stuck)

    def committed(self, through: int) -> None:
        if through >= self.returned:
            self.returned = -1

    def moved(self, cursor: int) -> None:
        self.cursor, self.returned, self.stuck = cursor, -1, False


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
