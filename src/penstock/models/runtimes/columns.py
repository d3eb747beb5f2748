"""Which columns feed a model, and which numbers of its answer become columns: one rule for every library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...errors import ModelRefused
from ..casts import is_list, is_numeric
from ..packing import Matrix
from ..signature import is_declared, listed

MEND = 'write the columns in the model\'s order: app.model(…, inputs=["…", …])'
MOST_ANSWERS = 100_000  # values a row


def name_inputs(offer: pa.Schema | None, named: Sequence[str], wanted: Sequence[pa.DataType]) -> pa.Schema:
    """The input columns of a model that reads ``wanted``, in its order.

    Their names are those declared with ``inputs=``, else those the artifact holds (``named``), else the columns on
    offer if exactly so many of them are numeric. Raises ``ModelRefused`` otherwise, with the columns on offer.
    """
    count = len(wanted)
    if offer is not None and is_declared(offer):
        names = list(offer.names)
        if len(names) != count:
            raise ModelRefused(f"the model reads {count} columns, and inputs= names {len(names)}: {listed(names)}")
    elif named:
        names = list(named)
        if len(names) != count:
            raise ModelRefused(f"the model reads {count} columns, and its file names {len(names)}: {listed(names)}")
        _require(names, offer)
    else:
        names = _by_place(offer, count)
    if len(set(names)) != count:
        raise ModelRefused(f"the model's inputs have a name twice: {listed(names)}; {MEND}")
    return pa.schema(list(zip(names, wanted, strict=True)))


def _require(names: Sequence[str], offer: pa.Schema | None) -> None:
    missing = [name for name in names if offer is not None and name not in offer.names]
    if offer is not None and missing:
        raise ModelRefused(
            f"the model's file names input {listed(missing)}, and the columns on offer are "
            f"{listed(offer.names)}; {MEND}"
        )


def _by_place(offer: pa.Schema | None, count: int) -> list[str]:
    if offer is None:
        raise ModelRefused(f"the model reads {count} columns and its file does not name them; {MEND}")
    numeric = [f.name for f in offer if is_numeric(f.type)]
    if len(numeric) != count:
        raise ModelRefused(
            f"the model reads {count} numeric columns and its file does not name them; the columns on offer are "
            f"{listed(offer.names)}, of which {len(numeric)} are numeric; {MEND}"
        )
    return numeric


def vector(offer: pa.Schema | None, size: int) -> pa.Field | None:
    """The one column on offer that holds a whole row of the matrix: a list of ``size`` numbers."""
    if offer is None:
        return None
    lists = [f for f in offer if is_list(f.type) and is_numeric(f.type.value_type)]
    fitting = [f for f in lists if not pa.types.is_fixed_size_list(f.type) or f.type.list_size == size]
    if len(fitting) == 1 and (len(offer) == 1 or not is_declared(offer)):
        return fitting[0]
    if is_declared(offer) and len(offer) == 1 and size > 1 and pa.types.is_null(offer.types[0]):
        return offer.field(0)
    return None


# -- answers ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutputPart:
    """One thing that a model answers with: ``width`` values a row. A label is no number to choose by default.

    ``classes``: its values are probabilities, one a class.
    """

    name: str
    width: int
    label: bool = False
    classes: bool = False


@dataclass(frozen=True, slots=True)
class Pick:
    """Output column ``name`` is value ``place`` of part ``part``."""

    name: str
    part: int
    place: int


def choose_outputs(parts: Sequence[OutputPart], names: Sequence[str]) -> list[Pick]:
    """Map the declared output names onto what a model answers. In this order:

    1. names that are all names of parts: those parts;
    2. as many names as parts: the parts in order;
    3. as many names as the last numeric part is wide: its values in order;
    4. one name, or none (then the part's own): the last numeric part.

    Where a part holds the probabilities of two classes and has one name, it is the second: that of the positive class.
    Raises ``ModelRefused`` with what the model answers, also for two values a row that are something else.
    """
    by_name = {part.name: n for n, part in enumerate(parts)}
    last = max((n for n, part in enumerate(parts) if not part.label), default=len(parts) - 1)
    if names and all(name in by_name for name in names):
        chosen = [by_name[name] for name in names]
    elif len(names) == len(parts):
        chosen = list(range(len(parts)))
    elif names and len(names) == parts[last].width:
        return [Pick(name, last, place) for place, name in enumerate(names)]
    elif len(names) <= 1:
        chosen = [last]
    else:
        raise _cannot(parts, names)
    if len(chosen) == 1 == len(names) and parts[chosen[0]].width > 2:
        raise _cannot(parts, names)
    return [_single(parts, names, n, name) for n, name in zip(chosen, names or [parts[last].name], strict=True)]


def _single(parts: Sequence[OutputPart], names: Sequence[str], n: int, name: str) -> Pick:
    if parts[n].width != 1 and not (parts[n].width == 2 and parts[n].classes):
        raise _cannot(parts, names)
    return Pick(name, n, parts[n].width - 1)


def _cannot(parts: Sequence[OutputPart], names: Sequence[str]) -> ModelRefused:
    answers = ", ".join(f"'{p.name}' ({p.width} a row)" for p in parts)
    return ModelRefused(f"the model answers {answers}; outputs= names {listed(list(names))}: name one column for each")


def pick(values: Matrix, place: int) -> Matrix:
    """One value a row of a part, whatever its shape: (n,), (n, 1) or (n, width)."""
    if values.ndim > 1:
        column: Matrix = values.reshape(len(values), -1)[:, place]
        return column
    return values


def probabilities(values: Matrix) -> bool:
    """Do the values of each row sum to one, as those of classes do?"""
    if values.ndim < 2 or values.dtype.kind != "f":
        return False
    rows = values.reshape(len(values), -1).astype(np.float64)
    return bool((rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-3))


def width(values: Matrix, rows: int) -> int:
    """How many values a row a trial answer has. Raises ``ModelRefused`` when it has not one answer a row."""
    if values.ndim == 0 or len(values) != rows:
        raise ModelRefused(
            f"the model answered a trial of {rows} rows with shape {values.shape}: one answer a row is needed"
        )
    return int(values.size // rows)


def described(path: Path, error: BaseException) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{path.name[:16]}: {first[:300]}"
