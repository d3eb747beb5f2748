"""How far an ordered subscription has come in a partition, as it is stored: in a row of ``penstock.system``."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ...system.messages import Message

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


class LanePositions(msgspec.Struct, frozen=True, array_like=True):
    """What an ``OrderedPosition`` says of its place."""

    through: int
    split: str
    beyond: tuple[int, ...] = ()
    blocked: tuple[BlockedLane, ...] = ()

    def ends(self) -> list[int]:
        """Through which position each lane is dealt with."""
        return [self.through + more for more in self.beyond or (0,) * LANES]
