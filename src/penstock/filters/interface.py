"""What a filter is, whichever language it was written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .columns import EventColumns, Key


@dataclass(frozen=True, slots=True)
class Atom:
    """A condition that each event which passes meets: the value at ``key`` is one of ``values``, or a text that begins
    with one of ``prefixes``, or, where there are neither, a text that ends with one of ``suffixes``, or else a number
    between ``low`` and ``high``.

    Values are compared with those of their own type: texts with ``EventColumns.texts``, numbers with ``numbers`` and
    booleans with ``booleans``. A null, or a value of another type, does not meet it.
    """

    key: Key
    values: tuple[str | float | bool, ...] = ()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    low: float = -inf
    high: float = inf
    low_in: bool = True  # is the end itself between the two?
    high_in: bool = True
    folded: bool = False  # texts are compared without case


class Predicate(Protocol):
    """A compiled filter. Immutable; any thread may use it."""

    @property
    def text(self) -> str:
        """Equal texts mean equal predicates, evaluated once."""
        ...

    @property
    def atoms(self) -> Sequence[Atom]:
        """Necessary conditions, for an index; all of them are met by each event that passes."""
        ...

    @property
    def exact(self) -> bool:
        """Do the atoms say it all, so that each event which meets them passes?"""
        ...

    def mask(self, events: EventColumns) -> npt.NDArray[np.bool_]:
        """Which events pass, one value an event. Raises nothing that depends on what the events hold."""
        ...
