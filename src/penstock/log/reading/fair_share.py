"""Fair turns: how the rows of one read are shared out among the partitions that have some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

K = TypeVar("K")


def share(available: Mapping[K, int], budget: int) -> dict[K, int]:
    """How many rows each partition gives, ``budget`` in all.

    Shares are equal, and what a partition with little leaves over goes to the fuller ones. With fewer rows than
    partitions the first ones get one each: hand the mapping over in the order of whose turn it is.
    """
    shares: dict[K, int] = {}
    left = budget
    turn = list(available)[:budget]
    for waiting, key in zip(range(len(turn), 0, -1), sorted(turn, key=available.__getitem__), strict=True):
        shares[key] = min(available[key], left // waiting)
        left -= shares[key]
    return {key: shares[key] for key in turn if shares[key]}
