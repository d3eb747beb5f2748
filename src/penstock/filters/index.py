"""Which events go to which subscriptions, of a great many: each is found by the rarest of what it asks for.

Of a predicate's atoms one is its access: it stands in an index over values, beginnings, endings or ranges, in which a
batch looks up its own values. Who is found there is a candidate; the other atoms are compared over all candidate pairs
at once, and what no atom says is left to the predicate, for the events that are left. So what an event costs hangs on
how many subscriptions are nearly its own, and hardly on how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from ..batch import Indices
from .access import Access, Pairs, Place
from .columns import EventColumns
from .comparing import Comparing
from .growing import GrowingArray, GrowingLists, Integers
from .interface import Predicate
from .lookups import LookedUp, Lookups

_FEW = 1_000  # removed predicates that are not worth a new index
_SHARE = 0.25  # of the events of a batch: with more than that left, a predicate is given them all


@dataclass(frozen=True, slots=True)
class _Entry:
    """Equal predicates, as one; ``places`` are those where it stands in the access."""

    number: int
    predicate: Predicate
    places: Sequence[Place]


class Matcher:
    """Finds the subscriptions of events. One thread's.

    A subscription has a number, and a predicate; with None it is given every event.
    """

    def __init__(self, predicates: Sequence[Predicate | None] = ()) -> None:
        """Their places are the subscriptions' numbers."""
        self._of: dict[int, _Entry] = {}  # by subscription
        self._every: dict[int, None] = {}  # the subscriptions to every event
        self._clear()
        for number, predicate in enumerate(predicates):
            self.add(number, predicate)

    def __len__(self) -> int:
        return len(self._of) + len(self._every)

    def add(self, subscription: int, predicate: Predicate | None) -> None:
        """From the next ``match`` on. Raises ``ValueError`` if there is one of that number."""
        if subscription in self._of or subscription in self._every:
            raise ValueError(f"there is a subscription {subscription} already")
        if predicate is None:
            self._every[subscription] = None
            return
        entry = self._entries.get(predicate.text) or self._enter(predicate)
        self._subscriptions.append(entry.number, subscription)
        self._of[subscription] = entry

    def remove(self, subscription: int) -> None:
        """From the next ``match`` on. Raises ``KeyError`` if there is none of that number."""
        if subscription in self._every:
            del self._every[subscription]
            return
        entry = self._of.pop(subscription)
        self._subscriptions.remove(entry.number, subscription)
        if self._subscriptions.count(entry.number):
            return
        del self._entries[entry.predicate.text]
        self._predicates.pop(entry.number, None)
        self._access.remove(entry.places, entry.number)
        self._removed += 1
        if self._removed > max(_FEW, len(self._entries)):
            self._build_anew()

    def match(self, events: EventColumns) -> tuple[Indices, Integers]:
        """All pairs of an event, by its place, and a subscription whose predicate it passes: each once, in no order."""
        found = LookedUp(events)
        pairs = self._by_atoms(found, self._access.candidates(found))
        rows, entries = self._by_masks(events, pairs)
        places, subscriptions = self._subscriptions.expand(entries)
        rows = rows[places]
        if self._every:
            every = np.fromiter(self._every, np.int64, len(self._every))
            rows = np.concatenate([rows, np.repeat(np.arange(len(events)), len(every))])
            subscriptions = np.concatenate([subscriptions, np.tile(every, len(events))])
        return rows, subscriptions

    def _clear(self) -> None:
        lookups = Lookups()
        self._access, self._comparing = Access(lookups), Comparing(lookups)
        self._entries: dict[str, _Entry] = {}  # by text
        self._subscriptions, self._atoms = GrowingLists(), GrowingLists()  # by entry
        self._inexact = GrowingArray(np.bool_)  # by entry: do its atoms not say it all?
        self._predicates: dict[int, Predicate] = {}  # by entry, of those
        self._removed = 0

    def _enter(self, predicate: Predicate) -> _Entry:
        number = len(self._inexact)
        chosen, places = self._access.choose(predicate.atoms)
        entry = self._entries[predicate.text] = _Entry(number, predicate, places)
        self._access.add(places, number)
        for atom in predicate.atoms:
            if atom is not chosen:
                self._atoms.append(number, self._comparing.add(atom))
        self._inexact.append(not predicate.exact)
        if not predicate.exact:
            self._predicates[number] = predicate
        return entry

    def _build_anew(self) -> None:
        """Without what the removed ones left behind."""
        subscriptions, self._of = self._of, {}
        self._clear()
        for number, entry in subscriptions.items():
            self.add(number, entry.predicate)

    def _by_atoms(self, found: LookedUp, pairs: Pairs) -> Pairs:
        rows, entries = pairs
        for place in count():
            some, atoms = self._atoms.at(entries, place)
            if not len(some):
                break
            kept = np.ones(len(rows), np.bool_)
            kept[some] = self._comparing.met(found, rows[some], atoms)
            rows, entries = rows[kept], entries[kept]
        return rows, entries

    def _by_masks(self, events: EventColumns, pairs: Pairs) -> Pairs:
        if not self._predicates:
            return pairs
        rows, entries = pairs
        some = self._inexact.values[entries].nonzero()[0]
        if not len(some):
            return pairs
        some = some[np.argsort(entries[some], kind="stable")]
        kept = np.ones(len(rows), np.bool_)
        for of_one in np.split(some, np.diff(entries[some]).nonzero()[0] + 1):
            predicate = self._predicates[int(entries[of_one[0]])]
            if len(of_one) > len(events) * _SHARE:
                kept[of_one] = predicate.mask(events)[rows[of_one]]
            else:
                kept[of_one] = predicate.mask(events.take(rows[of_one]))
        return rows[kept], entries[kept]
