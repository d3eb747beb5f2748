"""What an atom says, value by value, and predicates made of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.filters.eventgrid import oracle

from penstock.filters.columns import EventColumns
from penstock.filters.interface import Atom


def meets(atom: Atom, events: EventColumns) -> Any:
    """By the definition of an atom, value by value."""
    texts, numbers, booleans = (
        [None] * len(events) if found is None else found.to_pylist()
        for found in (events.texts(atom.key), events.numbers(atom.key), events.booleans(atom.key))
    )
    change = oracle.lower if atom.folded else str

    def met(text: str | None, number: float | None, boolean: bool | None) -> bool:
        wanted = [change(each) if isinstance(each, str) else each for each in atom.values]
        if atom.values or atom.prefixes:
            of_kind = {str: text if text is None else change(text), bool: boolean, float: number}
            same = any(of_kind[type(each)] is not None and of_kind[type(each)] == each for each in wanted)
            return same or (text is not None and change(text).startswith(tuple(map(change, atom.prefixes))))
        if atom.suffixes:
            return text is not None and change(text).endswith(tuple(map(change, atom.suffixes)))
        if number is None or not atom.low <= number <= atom.high:
            return False
        return bool((atom.low_in or atom.low < number) and (atom.high_in or number < atom.high))

    return np.array(list(map(met, texts, numbers, booleans)), np.bool_)


@dataclass(frozen=True)
class Asking:
    """A predicate of atoms, and where there is a ``letter``, of one thing more that no atom says: the id has it."""

    text: str
    atoms: Sequence[Atom]
    letter: str = ""

    @property
    def exact(self) -> bool:
        return not self.letter

    def mask(self, events: EventColumns) -> Any:
        passed = np.ones(len(events), np.bool_)
        for atom in self.atoms:
            passed &= meets(atom, events)
        ids = events.texts(("id",))
        assert ids is not None
        return passed & np.array([self.letter in text for text in ids.to_pylist()], np.bool_)
