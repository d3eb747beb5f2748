"""Who should own which partition of a topic: even shares, as few moves as possible, no leader.

Every member computes the same quotas from the same members, gives back what it has above its own and claims free
partitions up to it. As the quotas sum to the number of partitions, this comes to rest with all of them owned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

K = TypeVar("K")
M = TypeVar("M", int, str)


def quota(partitions: int, members: Sequence[M], me: M, turn: int) -> int:
    """How many of a topic's partitions ``me`` should own.

    ``turn`` differs from topic to topic, so that the odd partitions of many small topics do not all fall to one.
    """
    rank = sorted(members).index(me)
    share, odd = divmod(partitions, len(members))
    return share + ((rank + turn) % len(members) < odd)


def moves(owners: Mapping[K, M | None], members: Sequence[M], me: M, turn: int) -> tuple[list[K], list[K]]:
    """The partitions of one topic that ``me`` should give back, and those that it should claim, now.

    The first of its own in ``owners`` are kept: hand over those with work in hand first.
    """
    mine = [place for place, owner in owners.items() if owner == me]
    free = [place for place, owner in owners.items() if owner is None]
    due = quota(len(owners), members, me, turn)
    return mine[due:], free[: max(0, due - len(mine))]
