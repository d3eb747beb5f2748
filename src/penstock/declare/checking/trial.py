"""Batch functions tried on made-up events, whole and in pieces: does an answer depend on the batch it came in?"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa
from polars.exceptions import PanicException

from ...plan.plan import Plan
from ..app import App
from ..parts import FunctionPart, Topic
from ..planning.findings import Finding, FindingCollector
from ..planning.functions import FunctionShape, function_shapes
from .rowwise import DependsOnBatch, compare_batches
from .samples import sample_rows

ROWS = 48
ALONE = 12  # of them given one by one
SECONDS = 1.0  # for all calls of one function

MEND = (
    "a batch is what happened to be there at that moment: make each row of that row alone (sort, shift, rank, over, "
    "rolling and group_by see only the batch), or take the event's class and be called for one"
)


class _Late(BaseException):
    """Not an ``Exception``, which the user's function may catch."""


def try_functions(app: App, plan: Plan) -> list[Finding]:
    """Warnings for the batch functions whose answers depend on the batch.

    Tried are those that are given nothing but a frame and feed a topic: what else a function asks for may reach the
    world. What one raises on made-up events is no finding, and neither is one that takes longer than ``SECONDS`` or
    answers the same rows twice in two ways.
    """
    report = FindingCollector()
    for part, shape in function_shapes(app.parts, FindingCollector()).items():
        if isinstance(part.source, Topic) and _is_plain(part, shape):
            spec = plan.topic(part.source.name)
            difference = _tried(part, shape, spec.schema, spec.key)
            if difference is not None:
                report.warning(
                    part.place, f"{part.name} answers a row differently in another batch: {difference}", MEND
                )
    return report.findings


def _is_plain(part: FunctionPart, shape: FunctionShape) -> bool:
    asks = shape.asked.types or shape.asked.refs
    return shape.takes in ("frame", "arrow") and part.to is not None and not asks and not shape.is_async


def _tried(part: FunctionPart, shape: FunctionShape, schema: pa.Schema, key: str | None) -> str | None:
    def call(rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.with_columns(pl.col("_row").cast(pl.UInt32))
        return _as_frame(part.function(rows if shape.takes == "frame" else _as_batch(rows)))

    try:
        frame = pl.DataFrame(pl.from_arrow(sample_rows(schema, ROWS, key=key)))
        with _within(SECONDS):
            if not call(frame.with_row_index("_row")).equals(call(frame.with_row_index("_row"))):
                return None
            compare_batches(call, frame, alone=ALONE)
    except DependsOnBatch as difference:
        return str(difference)
    # Whatever the user's function raises on events that nobody sent; polars panics where it was called back meanwhile.
    except (Exception, SystemExit, _Late, PanicException):
        return None
    return None


def _as_frame(answer: Any) -> pl.DataFrame:
    if isinstance(answer, pl.LazyFrame):
        return answer.collect()
    return answer if isinstance(answer, pl.DataFrame) else pl.DataFrame(pl.from_arrow(answer))


def _as_batch(rows: pl.DataFrame) -> pa.RecordBatch:
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks().to_batches()[0]


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises ``_Late`` in the user's code when the time is up; only a main thread can be interrupted so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
