"""``where``: a condition on events in a subset of SQL, compiled to passes over Arrow columns.

docs/where.md has the grammar, the kinds of values, and what null does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .columns import EventColumns, is_json
from .interface import Atom
from .sql.access import atoms_of
from .sql.evaluation import Evaluate, compiled
from .sql.parser import tree_of
from .sql.tree import names, write, write_name


@dataclass(frozen=True, slots=True)
class Where:
    """A ``Predicate``. ``text`` is the condition in its one spelling, which reads as the same condition."""

    text: str
    atoms: tuple[Atom, ...]
    exact: bool
    names: tuple[str, ...] = field(compare=False)  # columns and attributes in it, as they are written, each once
    _evaluate: Evaluate = field(repr=False, compare=False)

    def mask(self, events: EventColumns) -> npt.NDArray[np.bool_]:
        """Which events satisfy it; what is unknown (SQL's NULL) does not."""
        answer = self._evaluate(events)
        if isinstance(answer, pa.Scalar):
            return np.full(len(events), answer.as_py() is True)
        sure = answer.fill_null(False) if answer.null_count else answer
        return np.asarray(sure.to_numpy(zero_copy_only=False))


def parse(text: str, schema: pa.Schema | None) -> Where:
    """The condition, checked against the topic's columns; ``schema`` None or ``batch.JSON_SCHEMA``: a topic without a
    type, whose fields are named ``data.…``.

    Raises ``FilterInvalid``: what is wrong, what could be written, and a caret below where.
    """
    term = tree_of(text, None if schema is None or is_json(schema) else schema)
    atoms, exact = atoms_of(term)
    named = dict.fromkeys(write_name(name) for name in names(term))
    return Where(write(term), atoms, exact, tuple(named), compiled(term))
