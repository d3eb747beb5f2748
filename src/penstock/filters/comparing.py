"""Atoms compared with events, pair by pair, all pairs of one kind at once."""

from __future__ import annotations

from array import array

import numpy as np

from ..batch import Indices
from .columns import Key
from .growing import GrowingArray, Integers, Mask
from .interface import Atom
from .intervals import Interval
from .lookups import LookedUp, Lookup, Lookups, asked

_CODE_BITS = 32  # of the number of a value, beneath that of the atom that asks for it


class Comparing:
    """Atoms by their numbers, from 0."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._tables: list[_Values | _Ranges] = []
        self._table_of: dict[tuple[Key, bool], int] = {}  # by the key, and whether it is of ranges
        self._table, self._place = GrowingArray(np.int64), GrowingArray(np.int64)  # by atom: its table, where in it

    def add(self, atom: Atom) -> int:
        """Its number."""
        wanted = asked(atom)
        table = self._table_of.setdefault((atom.key, wanted is None), len(self._tables))
        if table == len(self._tables):
            self._tables.append(_Ranges(atom.key) if wanted is None else _Values(self._lookups))
        self._table.append(table)
        self._place.append(self._tables[table].add(atom))
        return len(self._table) - 1

    def met(self, found: LookedUp, rows: Indices, atoms: Integers) -> Mask:
        """Which of these pairs of an event and an atom are met."""
        places = self._place.values[atoms]
        if len(self._tables) == 1:
            return self._tables[0].met(found, rows, places)
        tables = self._table.values[atoms]
        kept = np.zeros(len(rows), np.bool_)
        for number in np.bincount(tables).nonzero()[0].tolist():
            some = (tables == number).nonzero()[0]
            kept[some] = self._tables[number].met(found, rows[some], places[some])
        return kept


class _Ranges:
    """Atoms that are ranges of the numbers at one key."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._floats = GrowingArray(np.float64), GrowingArray(np.float64)  # by atom: least and greatest
        self._integers = GrowingArray(np.int64), GrowingArray(np.int64)

    def add(self, atom: Atom) -> int:
        given = Interval(atom.low, atom.high, atom.low_in, atom.high_in)
        for columns, ends in ((self._floats, given.floats), (self._integers, given.integers)):
            for column, end in zip(columns, ends, strict=True):
                column.append(end)
        return len(self._floats[0]) - 1

    def met(self, found: LookedUp, rows: Indices, atoms: Integers) -> Mask:
        numbers = found.numbers(self._key)
        if numbers is None:
            return np.zeros(len(rows), np.bool_)
        values, there = numbers
        low, high = self._integers if values.dtype == np.int64 else self._floats
        has = values[rows]
        kept: Mask = (has >= low.values[atoms]) & (has <= high.values[atoms])
        return kept if there is None else kept & there[rows]


class _Values:
    """Atoms that ask for values at one key."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._count = 0
        self._asked: dict[Lookup, array[int]] = {}  # sorted: an atom's number and beneath it a value's

    def add(self, atom: Atom) -> int:
        by_lookup: dict[Lookup, list[int]] = {}
        for key, view, size, value in asked(atom) or ():
            lookup = self._lookups.of(key, view, size)
            by_lookup.setdefault(lookup, []).append(lookup.code(value))
        for lookup, codes in by_lookup.items():
            together = self._asked.setdefault(lookup, array("q"))
            together.extend(self._count << _CODE_BITS | code for code in sorted(codes))
        self._count += 1
        return self._count - 1

    def met(self, found: LookedUp, rows: Indices, atoms: Integers) -> Mask:
        kept = np.zeros(len(rows), np.bool_)
        for lookup, together in self._asked.items():
            codes = found.codes(lookup)
            if codes is None:
                continue
            has, wanted = codes[rows], np.frombuffer(together, np.int64)
            both = atoms << _CODE_BITS | has
            places = np.minimum(wanted.searchsorted(both), len(wanted) - 1)
            kept |= (has >= 0) & (wanted[places] == both)
        return kept
