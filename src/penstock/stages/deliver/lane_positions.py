"""How far an ordered subscription has come in a partition, as it is stored: in a row of ``penstock.system``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import msgspec

from ...system.messages import Message

Place = tuple[str, int]  # topic, partition
Move = Callable[[Place, int], int]
"""What stands on another log for having dealt with everything through a position."""

LANES = 64  # of an ordered subscription in each partition


class BlockedLane(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A lane that waits with a request which has failed: its events lie at positions ``first`` to ``last``, among
    those of other lanes. ``tried``: when the last attempt began, and ``due``: when the next does, in microseconds since
    the epoch; ``outcome`` and ``reason``: of the last one."""

    lane: int
    first: int
    last: int
    events: int
    attempts: int
    tried: int
    due: int
    outcome: str
    reason: str


class OrderedPosition(Message, frozen=True, kw_only=True):
    """All is dealt with ``through`` a position, in lane n through ``beyond[n]`` more, and these lanes are ``blocked``.

    ``beyond`` is empty where none has come further. ``split``: how events are split into lanes; where that is another,
    the lanes' own positions mean nothing.
    """

    TYPE: ClassVar[str] = "penstock.delivery.ordered"

    topic: str
    partition: int
    subscription: str
    through: int  # -1: nothing yet
    split: str
    beyond: tuple[int, ...] = ()
    blocked: tuple[BlockedLane, ...] = ()

    @property
    def known(self) -> LanePositions:
        return LanePositions(self.through, self.split, self.beyond, self.blocked)

    def mentioned(self) -> Iterator[tuple[Place, int]]:
        """The positions that it speaks of."""
        place = self.topic, self.partition
        yield from ((place, end) for end in {self.through, *self.known.ends()})
        yield from ((place, blocked.last) for blocked in self.blocked)

    def moved(self, move: Move) -> OrderedPosition:
        """The same of another log."""
        known = self.known.moved((self.topic, self.partition), move)
        changed = {"through": known.through, "beyond": known.beyond, "blocked": known.blocked}
        return msgspec.structs.replace(self, **changed)


class LanePositions(msgspec.Struct, frozen=True, array_like=True):
    """What an ``OrderedPosition`` says of its place."""

    through: int
    split: str
    beyond: tuple[int, ...] = ()
    blocked: tuple[BlockedLane, ...] = ()

    def ends(self) -> list[int]:
        """Through which position each lane is dealt with."""
        return [self.through + more for more in self.beyond or (0,) * LANES]

    def moved(self, place: Place, move: Move) -> LanePositions:
        """The same of that partition on another log."""
        through = move(place, self.through)
        beyond = tuple(move(place, end) - through for end in self.ends()) if self.beyond else ()
        blocked = tuple(
            msgspec.structs.replace(each, first=move(place, each.first), last=move(place, each.last))
            for each in self.blocked
        )
        return LanePositions(through, self.split, beyond, blocked)
