"""Functions called per batch: with a polars frame or a RecordBatch, and ``_row`` to keep the parents by."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from ...batch import Indices, data_columns
from ...errors import Reject, ResultInvalid, ResultMisshapen
from ...models.packing import as_column
from ..interface import Applied, RowFailure
from ..user_errors import row_failed
from .bound_function import Callee
from .model_handle import one_batch
from .results import fitted, without

ROW = "_row"
ROUNDS = 100  # calls that one batch may take when each rejects some of its rows

Finish = Callable[[Any], Any]
"""Awaits what an ``async`` function returned."""


def call_on_frame(callee: Callee, rows: pa.RecordBatch, injected: dict[str, object], finish: Finish) -> Applied:
    """Raises ``ResultInvalid``, ``ResultMisshapen``, and what the function raises; after ``Reject`` the rest runs
    again."""
    data = data_columns(rows)
    kept = np.arange(rows.num_rows, dtype=np.int64)
    failures: list[RowFailure] = []
    for _ in range(ROUNDS):
        try:
            result = callee.function(_given(callee, data, kept), **injected)
            if inspect.isawaitable(result):
                result = finish(result)
        except Reject as reject:
            refused = rejected_rows(reject, len(kept))
            failures += [row_failed(int(row), reject) for row in kept[refused]]
            kept = kept[~refused]
            if len(kept) == 0:
                return Applied(None, np.empty(0, np.int64), failures)
            continue
        return _answer(callee, result, kept, failures)
    raise ResultInvalid(f"{callee.spec.name} rejected rows {ROUNDS} times in one batch; give one mask with all of them")


def rejected_rows(reject: Reject, count: int) -> npt.NDArray[np.bool_]:
    """A mask over the rows of the call; a null in it means: not rejected. Raises ``ResultInvalid``."""
    if reject.rows is None:
        return np.ones(count, np.bool_)
    rows = reject.rows
    if isinstance(rows, pl.Series):
        rows = rows.to_list() if rows.dtype == pl.Null or rows.null_count() else rows.to_numpy()
    mask = np.asarray([bool(v) if v is None else v for v in rows] if isinstance(rows, list) else rows)
    if mask.shape != (count,) or mask.dtype != np.bool_:
        raise ResultInvalid(
            f"ps.Reject(rows=...) takes one boolean for each of the {count} rows of the frame, "
            f"not {mask.dtype} of shape {mask.shape}"
        )
    if not mask.any():
        raise ResultInvalid("ps.Reject(rows=...) names no row; do not raise it when nothing is rejected")
    return mask


def _given(callee: Callee, data: pa.RecordBatch, kept: Indices) -> Any:
    chosen = data if len(kept) == data.num_rows else data.take(as_column(kept))
    columns = [*chosen.columns, as_column(kept.astype(np.uint32))]
    batch = pa.RecordBatch.from_arrays(columns, schema=chosen.schema.append(pa.field(ROW, pa.uint32())))
    return pl.from_arrow(batch) if callee.spec.takes == "frame" else batch


def _answer(callee: Callee, result: Any, kept: Indices, failures: list[RowFailure]) -> Applied:
    if callee.target is None:
        return Applied(None, np.empty(0, np.int64), failures)
    batch = _as_batch(callee, result)
    parents = _parents(callee, batch, kept)
    if ROW in batch.schema.names:
        batch = batch.drop_columns([ROW])
    made, bad = fitted(batch, callee.target, callee.values, stage=callee.spec.name)
    lost = {int(parents[row]): reason for row, reason in bad.items()}
    return without(Applied(made, parents, failures), lost)


def _as_batch(callee: Callee, result: Any) -> pa.RecordBatch:
    if isinstance(result, pl.LazyFrame):
        result = result.collect()
    if isinstance(result, pl.DataFrame):
        return one_batch(result)
    if isinstance(result, pa.Table):
        result = result.combine_chunks()
        return result.to_batches()[0] if result.num_rows else pa.RecordBatch.from_pylist([], schema=result.schema)
    if isinstance(result, pa.RecordBatch):
        return result
    raise ResultMisshapen(
        f"{callee.spec.name} returned {type(result).__name__}; it writes to '{callee.spec.to}', so return a frame"
    )


def _parents(callee: Callee, batch: pa.RecordBatch, kept: Indices) -> Indices:
    """The row of the call that each row was made of. Raises ``ResultMisshapen``."""
    if ROW not in batch.schema.names:
        if batch.num_rows == len(kept):
            return kept
        raise ResultMisshapen(
            f"{callee.spec.name} returned {batch.num_rows} rows for {len(kept)} without '{ROW}': "
            f"keep the column '{ROW}' of the frame it was given (select('{ROW}', ...); after a filter, sort, join or "
            f"explode it is still there), so that every row has its event; what is made of several events at once, "
            f"as by group_by, belongs to none of them: a batch is only what was there at that moment"
        )
    rows = batch.column(ROW)
    if not pa.types.is_integer(rows.type) or rows.null_count:
        found = f"{rows.type} with {rows.null_count} nulls"
        raise ResultMisshapen(f"{callee.spec.name} returned '{ROW}' as {found}; keep it as it was given")
    parents: Indices = np.from_dlpack(rows).astype(np.int64)
    if not np.isin(parents, kept).all():
        wrong = int(parents[~np.isin(parents, kept)][0])
        raise ResultMisshapen(f"{callee.spec.name} returned '{ROW}' {wrong}, which is no row of the frame it was given")
    return parents
