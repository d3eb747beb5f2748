"""Numbers that are added one by one and read many at once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import Indices

Integers: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_FIRST = 16  # places of a new array
_ROOM = 2  # places of a new list
_NONE: Integers = np.zeros(0, np.int64)


class GrowingArray:
    """A column of numbers."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._held: npt.NDArray[Any] = np.zeros(_FIRST, kind)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> npt.NDArray[Any]:
        return self._held[: self._count]

    def append(self, value: float) -> None:
        if self._count == len(self._held):
            self._held = _longer(self._held, 2 * self._count)
        self._held[self._count] = value
        self._count += 1


class GrowingLists:
    """Lists of integers in one array; there is one of each number from 0, empty until something is appended to it.

    A list that has no room left moves to the end of the array, where it gets twice as much.
    """

    def __init__(self) -> None:
        self._held: Integers = np.zeros(_FIRST, np.int64)
        self._used, self._longest = 0, 0
        self._starts, self._counts, self._rooms = (np.zeros(_FIRST, np.int64) for _ in range(3))

    def count(self, number: int) -> int:
        """How long it is. Raises nothing."""
        return int(self._counts[number]) if number < len(self._counts) else 0

    def append(self, number: int, value: int) -> None:
        self._reach(number)
        if self._counts[number] == self._rooms[number]:
            self._move(number)
        self._held[self._starts[number] + self._counts[number]] = value
        self._counts[number] += 1
        self._longest = max(self._longest, int(self._counts[number]))

    def remove(self, number: int, value: int) -> None:
        """One of this value; the last one takes its place. Raises ``IndexError`` if there is none."""
        start, count = int(self._starts[number]), int(self._counts[number])
        held = self._held[start : start + count]
        held[np.flatnonzero(held == value)[0]] = held[-1]
        self._counts[number] -= 1

    def expand(self, numbers: Indices) -> tuple[Indices, Integers]:
        """All values of these lists, one list after the other, and the place in ``numbers`` of each one's list."""
        self._reach(int(numbers.max(initial=0)))
        counts, starts, places = self._counts[numbers], self._starts[numbers], np.arange(len(numbers))
        if self._longest > 1:
            places = places.repeat(counts)
            starts = (starts - counts.cumsum() + counts).repeat(counts) + np.arange(len(places))
        elif not counts.all():
            places = counts.nonzero()[0]
            starts = starts[places]
        return places, self._held[starts]

    def at(self, numbers: Indices, place: int) -> tuple[Indices, Integers]:
        """The value at that place of those of these lists that are so long, and the places in ``numbers`` of them."""
        if place >= self._longest:
            return _NONE, _NONE
        self._reach(int(numbers.max(initial=0)))
        long = (self._counts[numbers] > place).nonzero()[0]
        return long, self._held[self._starts[numbers[long]] + place]

    def _reach(self, number: int) -> None:
        if number >= len(self._starts):
            length = max(number + 1, 2 * len(self._starts))
            self._starts, self._counts = _longer(self._starts, length), _longer(self._counts, length)
            self._rooms = _longer(self._rooms, length)

    def _move(self, number: int) -> None:
        start, count = int(self._starts[number]), int(self._counts[number])
        room = max(_ROOM, 2 * count)
        if self._used + room > len(self._held):
            self._held = _longer(self._held, 2 * (self._used + room))
        self._held[self._used : self._used + count] = self._held[start : start + count]
        self._starts[number], self._rooms[number] = self._used, room
        self._used += room


def _longer(held: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    return np.concatenate([held, np.zeros(length - len(held), held.dtype)])
