"""``where=``: SQL over the fields of a system event, under the names that its class gives them."""

from __future__ import annotations

import json
from typing import get_type_hints

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from ..events import SystemEvent
from .findings import FindingCollector

_COLUMNS = {int: pl.Int64(), int | None: pl.Int64(), str: pl.String(), str | None: pl.String()}


def check_where(where: str, event: type[SystemEvent], place: str, report: FindingCollector) -> None:
    """Report text that does not parse, names a field the event lacks, or is not a condition."""
    fields = fields_of(event)
    mend = f"write a condition over {', '.join(fields)}, such as where=\"model = 'delay'\""
    try:
        condition = pl.sql_expr(where)
        unknown = [name for name in condition.meta.root_names() if name not in fields]
        if unknown:
            report.error(place, f"where names '{unknown[0]}', which {event.__name__} lacks", mend)
            return
        answer = pl.DataFrame(schema=fields).select(condition.alias("where"))
    except Exception as error:  # polars raises a dozen kinds
        report.error(place, f"where={where!r} cannot be read: {error}", mend)
        return
    if answer.schema["where"] != pl.Boolean:
        report.error(place, f"where={where!r} is not a condition", mend)


def holds(where: str, event_type: str, texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of these events, JSON objects of one type, satisfy a condition that was checked; null counts as no."""
    event = next(kind for kind in SystemEvent.__subclasses__() if kind.event_type == event_type)
    fields = fields_of(event)
    events = [event.read(json.loads(text)) for text in texts.to_pylist()]
    frame = pl.DataFrame({name: [getattr(one, name) for one in events] for name in fields}, schema=fields)
    # A condition that names no field has one value; the rows' number comes from beside it.
    answer = frame.with_columns(pl.sql_expr(where).alias("where"))["where"].fill_null(False)
    return answer.to_numpy().astype(np.bool_, copy=False)


def fields_of(event: type[SystemEvent]) -> dict[str, pl.DataType]:
    """The columns that ``where`` sees: the event's numbers and texts."""
    hints = get_type_hints(event)
    return {name: _COLUMNS[hints[name]] for name in event.__dataclass_fields__ if hints[name] in _COLUMNS}
