"""``where=`` over the fields of a system event, under the names that its class gives them (docs/where.md)."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import get_type_hints

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...batch import SYSTEM, Batch, TopicSpec
from ...errors import FilterInvalid
from ...filters.columns import EventColumns
from ...filters.where import Where, parse
from ..events import SYSTEM_EVENTS, SystemEvent
from .findings import FindingCollector

_COLUMNS = {int: pa.int64(), int | None: pa.int64(), str: pa.string(), str | None: pa.string()}


def check_where(where: str, event: type[SystemEvent], place: str, report: FindingCollector) -> None:
    """Report text that does not parse, names a field the event lacks, or is not a condition."""
    fields = fields_of(event)
    mend = f"write a condition over {', '.join(fields.names)}, such as where=\"model = 'delay'\""
    try:
        condition = parse(where, fields)
    except FilterInvalid as error:
        report.error(place, f"where of {event.__name__}: {error}", mend)
        return
    for name in condition.names:
        if name not in fields.names:
            report.error(place, f"where names '{name}', which is no field of {event.__name__}", mend)


def holds(where: str, event_type: str, texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of these events, JSON objects of one type, satisfy a condition that was checked; null counts as no."""
    event, condition = _condition(where, event_type)
    fields = fields_of(event)
    events = [event.read(json.loads(text)) for text in texts.to_pylist()]
    rows = pa.RecordBatch.from_pylist([{name: getattr(one, name) for name in fields.names} for one in events], fields)
    places = np.arange(len(events), dtype=np.int64)
    return condition.mask(EventColumns(Batch(SYSTEM, 0, places, places, rows), TopicSpec(SYSTEM, fields), ""))


@lru_cache(maxsize=128)
def _condition(where: str, event_type: str) -> tuple[type[SystemEvent], Where]:
    event = SYSTEM_EVENTS[event_type]
    return event, parse(where, fields_of(event))


def fields_of(event: type[SystemEvent]) -> pa.Schema:
    """The columns that ``where`` sees: the event's numbers and texts."""
    hints = get_type_hints(event)
    return pa.schema([(n, _COLUMNS[hints[n]]) for n in event.__dataclass_fields__ if hints[n] in _COLUMNS])
