"""Rows made up to try a model with at registration: does it answer several rows as it answers each alone?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from ..errors import InputInvalid, ModelRefused
from .casts import is_list
from .interface import RuntimeModel
from .packing import Matrix, as_column, as_numbers, zeros

COUNTS = (2, 3, 7, 64)
ROWS = 5
CLOSE = 1e-3
"""Of the column's scale. Libraries sum in another order for another number of rows; what is mixed up is further off."""

Known = Mapping[str, pa.Array]
"""Values that a column is sure to be read with, by its name."""


def rows_to_try(schema: pa.Schema, known: Known | None = None) -> pa.RecordBatch:
    """A row of zeros and others, always the same ones; known values where there are any."""
    known = known or {}
    columns = [_column(f.type, n, known.get(f.name)) for n, f in enumerate(schema)]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


def _column(kind: pa.DataType, nth: int, known: pa.Array | None) -> pa.Array:
    if known is not None and len(known):
        places = (np.arange(ROWS) + nth) % len(known)
        return known.take(as_column(places)).cast(kind)
    if pa.types.is_fixed_size_list(kind):
        values = _column_of(kind.value_type, ROWS * kind.list_size, nth)
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    return _column_of(kind, ROWS, nth)


def _column_of(kind: pa.DataType, count: int, seed: int) -> pa.Array:
    chosen = np.random.default_rng(seed)
    if pa.types.is_floating(kind):
        values = chosen.normal(size=count) * 3
        values[: max(1, count // ROWS)] = 0
        return as_column(values.astype(np.float32).astype(np.float64)).cast(kind)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return as_column(chosen.integers(0, 2, count).astype(np.int8)).cast(kind)
    return zeros(pa.schema([("x", kind)]), count).column(0)


def require_rowwise(model: RuntimeModel, rows: pa.RecordBatch, *, must: bool = True) -> None:
    """Raises ``ModelRefused`` when what the model answers to several of these rows is not what it answers to each.

    A row that it cannot answer alone proves nothing and is left out; ``must``: one at least has to be answered. A
    model that answers the same row twice with other values is only held to the number of rows.
    """
    alone, failed = _alone(model, rows)
    if not alone:
        if must and failed is not None:
            raise ModelRefused(f"the model failed on a trial of one row: {_first_line(failed)}")
        return
    places = np.array(sorted(alone))
    single = pa.Table.from_batches([alone[place] for place in places.tolist()]).combine_chunks().to_batches()[0]
    same = not _differs(_asked(model, rows.slice(places[0], 1), 1), single.slice(0, 1))
    for count in COUNTS:
        chosen = (3 * np.arange(count) + count) % len(places)
        answer = _asked(model, rows.take(as_column(places[chosen])), count)
        if same and (where := _differs(answer, single.take(as_column(chosen)))):
            raise ModelRefused(
                f"the model answers a row of {count} otherwise than the same row alone ({where}): "
                "an answer must depend on its row alone"
            )


def _alone(model: RuntimeModel, rows: pa.RecordBatch) -> tuple[dict[int, pa.RecordBatch], Exception | None]:
    answers: dict[int, pa.RecordBatch] = {}
    failed: Exception | None = None
    for place in range(rows.num_rows):
        try:
            answer = model.predict(rows.slice(place, 1))
        except Exception as error:  # a model may raise anything
            failed = failed or error
            continue
        _require_count(answer, 1)
        answers[place] = answer
    return answers, failed


def _asked(model: RuntimeModel, rows: pa.RecordBatch, count: int) -> pa.RecordBatch:
    try:
        answer = model.predict(rows)
    except InputInvalid:
        raise
    except Exception as error:  # a model may raise anything
        raise ModelRefused(
            f"the model answers one row and failed on a trial of {count}: {_first_line(error)}; "
            "it must take any number of rows (in ONNX: a batch dimension that is free)"
        ) from error
    _require_count(answer, count)
    return answer


def _require_count(answer: pa.RecordBatch, count: int) -> None:
    if answer.num_rows != count:
        raise ModelRefused(
            f"the model answered a trial of {count} rows with {answer.num_rows}: one answer a row is needed"
        )


def _differs(answer: pa.RecordBatch, wanted: pa.RecordBatch) -> str:
    """Where, in words; empty: nowhere."""
    if (answer.schema.names, answer.schema.types) != (wanted.schema.names, wanted.schema.types):
        return "its columns are others"
    numbers = [n for n, kind in enumerate(wanted.schema.types) if pa.types.is_floating(kind)]
    unlike = np.zeros((wanted.num_rows, wanted.num_columns), np.bool_)
    if numbers:
        unlike[:, numbers] = _far(_matrix(answer, numbers), _matrix(wanted, numbers))
    for n in set(range(wanted.num_columns)) - set(numbers):
        unlike[:, n] = _others(answer.column(n), wanted.column(n))
    if not unlike.any():
        return ""
    row, n = (int(place) for place in np.argwhere(unlike)[0])
    found, alone = (rows.column(n)[row].as_py() for rows in (answer, wanted))
    return f"'{wanted.schema.names[n]}' of row {row} is {found!r:.60} among others, {alone!r:.60} alone"


def _matrix(rows: pa.RecordBatch, places: list[int]) -> Matrix:
    return np.stack([as_numbers(rows.column(n)) for n in places], axis=1)


def _far(found: Matrix, alone: Matrix) -> Matrix:
    """By column: an answer near zero may differ by as much as the others round."""
    with np.errstate(invalid="ignore"):
        scale = np.max(np.where(np.isfinite(alone), np.abs(alone), 0), axis=0)
        close = np.abs(found - alone) <= CLOSE * np.abs(alone) + CLOSE * 1e-3 * scale
    same: Matrix = close | (found == alone) | (np.isnan(found) & np.isnan(alone))
    return ~same


def _others(found: pa.Array, alone: pa.Array) -> Matrix:
    lists = is_list(alone.type)
    pairs = zip(found, alone, strict=True)
    return np.array([a != b and not (lists and not _lists_unlike(a.values, b.values)) for a, b in pairs], np.bool_)


def _lists_unlike(left: pa.Array | None, right: pa.Array | None) -> bool:
    if left is None or right is None or len(left) != len(right):
        return True
    if not pa.types.is_floating(left.type) or left.null_count or right.null_count:
        return not left.equals(right)
    return bool(_far(*(np.asarray(values)[:, None] for values in (left, right))).any())


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
