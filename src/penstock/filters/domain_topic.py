"""A filter for one topic of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from .columns import DOMAIN_TOPIC, EventColumns
from .interface import Atom, Predicate


@dataclass(frozen=True, slots=True)
class OfDomainTopic:
    """A ``Predicate``: events of the domain topic ``name`` that pass ``others``; None: all of its events.

    An index finds it by the name, so that what an event costs does not hang on how many topics are subscribed to.
    """

    name: str
    others: Predicate | None
    text: str = field(init=False)
    atoms: Sequence[Atom] = field(init=False)
    exact: bool = field(init=False)

    def __post_init__(self) -> None:
        others = self.others
        own = Atom((DOMAIN_TOPIC,), (self.name,))
        object.__setattr__(self, "text", f"of {self.name}" if others is None else f"of {self.name}: {others.text}")
        object.__setattr__(self, "atoms", (own, *(() if others is None else others.atoms)))
        object.__setattr__(self, "exact", others is None or others.exact)

    def mask(self, events: EventColumns) -> npt.NDArray[np.bool_]:
        topics = events.texts((DOMAIN_TOPIC,))
        if topics is None:
            return np.zeros(len(events), np.bool_)
        found = np.asarray(pc.equal(topics, self.name).fill_null(False).to_numpy(zero_copy_only=False))
        return found if self.others is None else found & self.others.mask(events)
