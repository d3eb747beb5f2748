"""Does a batch function treat each row alone? What it answers must not depend on which rows came together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

ROW = "_row"
MOST_ALONE_ROWS = 200  # rows given one by one; of a longer frame, so many of them spread evenly

Places = npt.NDArray[np.int64]


class DependsOnBatch(Exception):
    """A function's answer for a row is another one in another batch; says which row, column and values."""


def compare_batches(
    fn: Callable[..., pl.DataFrame],
    frame: pl.DataFrame,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    rel_tol: float = 1e-9,
    seed: int = 0,
    alone: int = MOST_ALONE_ROWS,
) -> None:
    """Call ``fn(rows, *args, **kwargs)`` on all of ``frame``, on halves, on shuffled pieces and on ``alone`` rows.

    Raises ``DependsOnBatch`` for the first row and column whose answer depends on the batch it came in, and for other
    rows than those given without ``_row``; and what the function raises.
    """
    given = partial(_answers, fn, frame, args=args, kwargs=kwargs or {})
    whole = given(np.arange(frame.height))
    for how, places in _pieces(frame.height, seed, alone):
        piece = given(places)
        expected = whole.filter(pl.col(ROW).is_in(places.tolist()))
        _compare(how, expected, piece, rel_tol)


def _pieces(height: int, seed: int, alone: int) -> Iterator[tuple[str, Places]]:
    rows = np.arange(height)
    yield "in the first half", rows[: height // 2]
    yield "in the second half", rows[height // 2 :]
    for piece in np.array_split(np.random.default_rng(seed).permutation(rows), 3):
        yield "in a shuffled piece", piece
    for row in rows[:: max(1, height // alone)]:
        yield "alone", rows[row : row + 1]


def _answers(
    fn: Callable[..., pl.DataFrame], frame: pl.DataFrame, places: Places, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> pl.DataFrame:
    """What ``fn`` makes of the rows at these places, each with its place in the whole frame, in order of places."""
    given = frame[places].with_columns(pl.Series(ROW, np.arange(len(places)), pl.Int64))
    made = fn(given, *args, **kwargs)
    if ROW in made.columns:
        parents = made[ROW].to_numpy()
    elif made.height == len(places):
        parents = np.arange(len(places))
    else:
        raise DependsOnBatch(
            f"{_name(fn)} answered {made.height} rows for {len(places)} without their '{ROW}'; "
            f"carry the column '{ROW}' on, so that each row keeps its parent"
        )
    placed = made.drop(ROW, strict=False).with_columns(pl.Series(ROW, places[parents], pl.Int64))
    return placed.sort(ROW, maintain_order=True)


def _compare(how: str, expected: pl.DataFrame, piece: pl.DataFrame, rel_tol: float) -> None:
    if expected.schema != piece.schema:
        raise DependsOnBatch(f"{how}, the columns are {dict(piece.schema)}, on the whole {dict(expected.schema)}")
    counts = expected[ROW].to_list(), piece[ROW].to_list()
    if counts[0] != counts[1]:
        row = next(r for r in sorted({*counts[0], *counts[1]}) if counts[0].count(r) != counts[1].count(r))
        raise DependsOnBatch(
            f"row {row} becomes {counts[1].count(row)} rows {how}, and {counts[0].count(row)} among all the others"
        )
    for name in expected.columns:
        differs = ~_same(expected[name], piece[name], rel_tol)
        if differs.any():
            at = int(differs.arg_max() or 0)
            raise DependsOnBatch(
                f"column '{name}' of row {expected[ROW][at]} is {piece[name][at]!r} {how}, "
                f"and {expected[name][at]!r} among all the others: it depends on the batch"
            )


def _same(left: pl.Series, right: pl.Series, rel_tol: float) -> pl.Series:
    if not left.dtype.is_float():
        return left.eq_missing(right)
    close = np.isclose(left.to_numpy(), right.to_numpy(), rtol=rel_tol, atol=0, equal_nan=True)
    return (pl.Series(close) & (left.is_null() == right.is_null())) | left.eq_missing(right)


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", repr(fn))
