"""From the values of a batch to small numbers: which of the values that are asked for each event has.

A value is looked up once a batch, however many events have it and however many predicates ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import Indices
from .columns import EventColumns, Key
from .folding import fold, folded
from .growing import Integers, Mask
from .interface import Atom

View: TypeAlias = Literal["texts", "folded", "numbers", "booleans"]
"""Of the values at a key: the texts as they are or without case, the numbers, or the booleans."""

Asked: TypeAlias = tuple[Key, View, int | None, Any]
"""A value that an event is to have; what the third says, see ``Lookup``."""

V = TypeVar("V")
_FEW_ROWS = 8  # rows among which equal values are not looked for


class Lookup:
    """The values at one key that are asked for, numbered from 0.

    ``size``: None for whole values; of texts how many characters of the beginning are meant, or if negative of the end;
    of numbers the exponent of the width of the cells that they lie in.
    """

    def __init__(self, key: Key, view: View, size: int | None) -> None:
        self.key, self.view, self.size = key, view, size
        self._codes: dict[Any, int] = {}

    def code(self, value: Any) -> int:
        """The number of a value; a new one gets the next."""
        return self._codes.setdefault(value, len(self._codes))

    def known(self, value: Any) -> int | None:
        """The number of a value; None if nobody has asked for it."""
        return self._codes.get(value)

    def codes(self, values: pa.Array) -> Integers:
        """The numbers of these, -1 for what nobody asks for."""
        if self.size is None:
            seen = values.to_pylist()
        elif self.view == "numbers":
            seen = _cells(values.to_numpy(zero_copy_only=False), self.size).tolist()
        else:
            part = (0, self.size) if self.size >= 0 else (self.size, None)
            seen = pc.utf8_slice_codeunits(values, *part).to_pylist()
        return np.fromiter(map(self._codes.get, seen, repeat(-1)), np.int64, len(seen))


class Lookups:
    """One of each kind."""

    def __init__(self) -> None:
        self._made: dict[tuple[Key, View, int | None], Lookup] = {}

    def of(self, key: Key, view: View, size: int | None) -> Lookup:
        if (key, view, size) not in self._made:
            self._made[key, view, size] = Lookup(key, view, size)
        return self._made[key, view, size]


class LookedUp:
    """What a batch has of what is asked for, each looked up when somebody wants to know."""

    def __init__(self, events: EventColumns) -> None:
        self.events = events
        self._codes: dict[Lookup, Integers | None] = {}

    def codes(self, lookup: Lookup) -> Integers | None:
        """Each event's number, -1 where it has no value that is asked for; None: no event has a value of the kind."""
        if lookup not in self._codes:
            self._codes[lookup] = self._looked_up(lookup)
        return self._codes[lookup]

    def numbers(self, key: Key) -> tuple[npt.NDArray[Any], Mask | None] | None:
        """Of each event, as ``int64`` or ``float64``, and which events have one (None: all); None: no event has one."""
        return self.events.made(("index", key, "array"), lambda: _array(self.events.numbers(key)))

    def _looked_up(self, lookup: Lookup) -> Integers | None:
        found = self._distinct(lookup.key, lookup.view)
        if found is None:
            return None
        values, places = found
        codes = lookup.codes(values)
        return codes if places is None else codes[places]

    def _distinct(self, key: Key, view: View) -> tuple[pa.Array, Indices | None] | None:
        """The different values, and the place among them of each event's (None: they are the events' own)."""
        return self.events.made(("index", key, view), lambda: self._found(key, view))

    def _found(self, key: Key, view: View) -> tuple[pa.Array, Indices | None] | None:
        if view == "folded":
            plain = self._distinct(key, "texts")
            return None if plain is None else (fold(plain[0]), plain[1])
        values = getattr(self.events, view)(key)
        if values is None or len(values) <= _FEW_ROWS:
            return None if values is None else (values, None)
        encoded = values.dictionary_encode(null_encoding="encode")
        return encoded.dictionary, encoded.indices.to_numpy().astype(np.int64)


def asked(atom: Atom) -> list[Asked] | None:
    """The values of which an event that meets the atom has exactly one; None for an atom that is a range."""
    view: View = "folded" if atom.folded else "texts"
    if not (atom.values or atom.prefixes) and atom.suffixes:
        ends = [text[::-1] for text in _shortest([text[::-1] for text in _cased(atom.suffixes, atom)])]
        return [(atom.key, view, -len(text), text) for text in ends]
    if not (atom.values or atom.prefixes):
        same = atom.low == atom.high and atom.low_in and atom.high_in
        return [(atom.key, "numbers", None, atom.low)] if same else None
    beginnings = _shortest(_cased(atom.prefixes, atom))
    found: list[Asked] = [(atom.key, view, len(text), text) for text in beginnings]
    for value in _cased(atom.values, atom):
        if isinstance(value, bool):
            found.append((atom.key, "booleans", None, value))
        elif not isinstance(value, str):
            found.append((atom.key, "numbers", None, value))
        elif not value.startswith(beginnings):
            found.append((atom.key, view, None, value))
    return list(dict.fromkeys(found))


def _cased(values: Iterable[V], atom: Atom) -> list[V]:
    """As the atom compares them."""
    return [folded(value) if atom.folded and isinstance(value, str) else value for value in values]  # type: ignore[misc]  # a folded text is of the type of texts


def _shortest(beginnings: Iterable[str]) -> tuple[str, ...]:
    """Those that begin with no other of them: the others say nothing more."""
    found: list[str] = []
    for text in sorted(beginnings):  # what it begins with comes before it
        if not (found and text.startswith(found[-1])):
            found.append(text)
    return tuple(found)


def cell(number: float, exponent: int) -> float:
    """Which of the cells of a width of ``2**exponent`` it lies in."""
    return float(_cells(np.float64(number), exponent))


def _cells(numbers: Any, exponent: int) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):  # beyond every cell that anybody asks for
        found: npt.NDArray[np.float64] = np.floor(np.ldexp(np.asarray(numbers, np.float64), -exponent))
    return found


def _array(numbers: pa.Array | None) -> tuple[npt.NDArray[Any], Mask | None] | None:
    if numbers is None:
        return None
    if not numbers.null_count:
        return np.asarray(numbers.to_numpy()), None
    there = np.asarray(numbers.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    return np.asarray(numbers.fill_null(0).to_numpy()), there
