"""The index of predicates: each stands where the fewest others do, of all places that its atoms allow."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..batch import Indices
from .columns import Key
from .growing import GrowingLists, Integers
from .interface import Atom
from .intervals import MOST
from .lookups import Asked, LookedUp, Lookup, Lookups, asked, cell

Pairs: TypeAlias = tuple[Indices, Integers]  # the places of events, and with each an entry

NONE: Pairs = np.zeros(0, np.int64), np.zeros(0, np.int64)


class _Index(Protocol):
    """Entries by a value each. ``weight``: how many entries an event may meet there."""

    def add(self, value: Any, entry: int) -> None: ...
    def remove(self, value: Any, entry: int) -> None: ...
    def weight(self, value: Any) -> int: ...
    def pairs(self, found: LookedUp) -> Pairs: ...


Place: TypeAlias = tuple[_Index, Any]


class Access:
    """Which entries are candidates for an event: all that it may pass, and some more."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._postings: dict[Lookup, _Postings] = {}
        self._thresholds: dict[tuple[Key, bool], _Thresholds] = {}
        self._anywhere = _Anywhere()

    def choose(self, atoms: Sequence[Atom]) -> tuple[Atom | None, Sequence[Place]]:
        """Where an entry of these atoms should stand, and the atom that needs no other comparison then."""
        best: tuple[Atom | None, list[Place]] = None, [(self._anywhere, None)]
        least = math.inf
        for atom in atoms:
            whole, places = self._places(atom)
            weight = sum(index.weight(value) for index, value in places)
            if weight < least:
                least, best = weight, (atom if whole else None, places)
        return best

    def add(self, places: Sequence[Place], entry: int) -> None:
        for index, value in places:
            index.add(value, entry)

    def remove(self, places: Sequence[Place], entry: int) -> None:
        for index, value in places:
            index.remove(value, entry)

    def candidates(self, found: LookedUp) -> Pairs:
        """Pairs of an event and an entry, each once."""
        indexes: list[_Index] = [*self._postings.values(), *self._thresholds.values(), self._anywhere]
        parts = [pairs for index in indexes if len((pairs := index.pairs(found))[0])]
        if len(parts) <= 1:
            return parts[0] if parts else NONE
        return np.concatenate([rows for rows, _ in parts]), np.concatenate([entries for _, entries in parts])

    def _places(self, atom: Atom) -> tuple[bool, list[Place]]:
        """Of one atom; does standing there say all of it?"""
        wanted = asked(atom)
        if wanted is not None:
            return True, [self._posting(each) for each in wanted]
        low, high = atom.low, atom.high
        if low >= high:  # nothing is between them; equal ends that are both in were asked for
            return True, []
        if low > -MOST and high < MOST and high - low < math.inf:
            exponent = math.frexp(high - low)[1]  # of cells of which two hold them all
            ends = {cell(low, exponent), cell(high, exponent)}
            return False, [self._posting((atom.key, "numbers", exponent, end)) for end in ends]
        upward = low > -MOST
        index = self._thresholds.setdefault((atom.key, upward), _Thresholds(atom.key, upward))
        return False, [(index, low if upward else high)]

    def _posting(self, wanted: Asked) -> Place:
        key, view, size, value = wanted
        lookup = self._lookups.of(key, view, size)
        if lookup not in self._postings:
            self._postings[lookup] = _Postings(lookup)
        return self._postings[lookup], value


class _Postings:
    """Entries by a value that an event has."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._entries = GrowingLists()  # by code

    def add(self, value: Any, entry: int) -> None:
        self._entries.append(self._lookup.code(value), entry)

    def remove(self, value: Any, entry: int) -> None:
        self._entries.remove(self._lookup.code(value), entry)

    def weight(self, value: Any) -> int:
        code = self._lookup.known(value)
        return 0 if code is None else self._entries.count(code)

    def pairs(self, found: LookedUp) -> Pairs:
        codes = found.codes(self._lookup)
        if codes is None:
            return NONE
        rows = (codes >= 0).nonzero()[0]
        if not len(rows):
            return NONE
        places, entries = self._entries.expand(codes[rows])
        return rows[places], entries


class _Thresholds:
    """Entries by the least number that an event may have, or by the greatest."""

    def __init__(self, key: Key, upward: bool) -> None:
        self._key, self._sign = key, 1 if upward else -1
        self._least, self._entries = array("d"), array("q")  # sorted, after the sign

    def add(self, value: float, entry: int) -> None:
        at = bisect_right(self._least, self._sign * value)
        self._least.insert(at, self._sign * value)
        self._entries.insert(at, entry)

    def remove(self, value: float, entry: int) -> None:
        at = self._entries.index(entry, bisect_left(self._least, self._sign * value))
        del self._least[at], self._entries[at]

    def weight(self, _value: float) -> int:
        return len(self._least)

    def pairs(self, found: LookedUp) -> Pairs:
        numbers = found.numbers(self._key)
        if numbers is None or not self._least:
            return NONE
        values, there = numbers
        counts = np.frombuffer(self._least).searchsorted(self._sign * values.astype(np.float64), "right")
        if there is not None:
            counts *= there
        rows = np.arange(len(values)).repeat(counts)
        places = np.arange(len(rows)) - (counts.cumsum() - counts).repeat(counts)
        return rows, np.frombuffer(self._entries, np.int64)[places]


class _Anywhere:
    """Entries that any event may pass, as far as anybody knows."""

    def __init__(self) -> None:
        self._entries: dict[int, None] = {}

    def add(self, _value: None, entry: int) -> None:
        self._entries[entry] = None

    def remove(self, _value: None, entry: int) -> None:
        del self._entries[entry]

    def weight(self, _value: None) -> int:
        return len(self._entries)

    def pairs(self, found: LookedUp) -> Pairs:
        if not self._entries:
            return NONE
        count, entries = len(found.events), np.fromiter(self._entries, np.int64, len(self._entries))
        return np.repeat(np.arange(count), len(entries)), np.tile(entries, count)
