"""For tests: does a batch function treat each row alone?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from ..declare.checking.rowwise import DependsOnBatch, compare_batches


def assert_rowwise(
    fn: Callable[..., pl.DataFrame],
    frame: pl.DataFrame,
    *args: Any,
    rel_tol: float = 1e-9,
    seed: int = 0,
    **kwargs: Any,
) -> None:
    """Call ``fn(rows, *args, **kwargs)`` on all of ``frame``, on halves, on shuffled pieces and row by row.

    Raises ``AssertionError`` naming the first row and column whose answer depends on the batch it came in, such as
    after a mean over the frame, a sort, a shift or a deduplication. Floats may differ by ``rel_tol``: vectorised sums
    round differently. As in production each frame carries ``_row``, and a result with another number of rows must
    carry it on.

    >>> def centred(rows: pl.DataFrame) -> pl.DataFrame:
    ...     return rows.with_columns(x=pl.col("x") - pl.col("x").mean())
    >>> testing.assert_rowwise(centred, pl.DataFrame({"x": [1.0, 2.0, 6.0]}))
    Traceback (most recent call last):
    AssertionError: column 'x' of row 0 is 0.0 in the first half, and -2.0 among all the others: it depends on the batch
    """
    try:
        compare_batches(fn, frame, args, kwargs, rel_tol=rel_tol, seed=seed)
    except DependsOnBatch as difference:
        raise AssertionError(str(difference)) from None
