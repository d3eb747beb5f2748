"""The partitions that a router has in hand.

One that comes may have had another owner, and what that said of it may not have been read here yet. So a token is
stored behind it, and before the token has been read nothing of the partition is given to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from .state import DeliveryState, PartitionTaken
from .tracks import Track


@dataclass(slots=True)
class Share:
    """A partition in this member's hands. The arrays have a place for each subscription: whether what the router reads
    is given to it (``fed``), and behind which position (``since``)."""

    partition: int
    read: int  # through which row the router has read
    committed: int  # what it has said to be done
    first: int  # what had been dealt with when it came
    placed: bool  # the group had a position then; else it began with the latest, and nobody knows just where
    token: str = field(default_factory=lambda: uuid4().hex)
    end: int = 0  # of the partition, when that was asked for first
    asked: bool = False  # the token is on its way
    known: bool = False  # it was read, and so what any former owner has said
    fed: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    since: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    tracks: dict[int, Track] = field(
        default_factory=dict
    )  # of those with something under way, or a position of their own

    @property
    def goal(self) -> int:
        """How far one with a position of its own has to come to be fed: what the router will not read is before it."""
        return self.read if self.placed else max(self.read, self.end - 1)


class Shares:
    """By partition. Used in the router's thread."""

    def __init__(self, positions: DeliveryState, ends: Callable[[], Mapping[int, int]]) -> None:
        """``positions``: which tokens have been read. ``ends``: by partition, the position that the next event will
        not be before."""
        self._positions, self._ends = positions, ends
        self._shares: dict[int, Share] = {}

    def __iter__(self) -> Iterator[Share]:
        return iter(self._shares.values())

    def __getitem__(self, partition: int) -> Share:
        return self._shares[partition]

    def get(self, partition: int) -> Share | None:
        return self._shares.get(partition)

    def known(self) -> list[Share]:
        return [share for share in self if share.known]

    def waiting(self) -> list[Share]:
        """Those of which it is not known yet what a former owner has said."""
        return [share for share in self if not share.known]

    def assigned(self, partition: int, through: int | None) -> None:
        first = -1 if through is None else through
        self._shares[partition] = Share(partition, first, first, first, through is not None)

    def revoked(self, partition: int) -> None:
        del self._shares[partition]

    def learn(self) -> tuple[list[Share], list[PartitionTaken]]:
        """After the view was refreshed: those whose tokens have been read, which are to begin, and what is to be stored
        so that the others' will be."""
        waiting = self.waiting()
        if unasked := [share for share in waiting if not share.asked]:
            ends = self._ends()
            for share in unasked:
                share.end = ends.get(share.partition, 0)
        learned: list[Share] = []
        told: list[PartitionTaken] = []
        for share in waiting:
            if self._positions.has_seen(share.token):
                learned.append(share)
            elif not share.asked:
                told.append(PartitionTaken(token=share.token))
                share.asked = True
        return learned, told
