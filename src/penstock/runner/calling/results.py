"""What functions answer with, checked and brought to the columns of the target topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from ...batch import Indices
from ...errors import ResultInvalid
from ...models.packing import as_column
from ...schema.casts import cast_column
from ...schema.encode import data_objects
from ...schema.ingress.values import MadeValues
from ...schema.rows import is_json, rules_of, value_type
from ..interface import Applied, RowFailure


def fitted(
    rows: pa.RecordBatch, target: pa.Schema, made: MadeValues, *, stage: str
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """The target's columns in its order, and the reason for each row that does not fit; columns it lacks are left out.
    ``made`` is of the target.

    A topic without columns gets each row as JSON.

    Raises ``ResultInvalid`` naming the column and both types when a whole column is missing or of another type.
    """
    if is_json(target) and not is_json(rows.schema):
        texts = [msgspec.json.encode(row).decode() for row in data_objects(rows)]
        return pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], schema=target), {}
    brought = pa.RecordBatch.from_arrays([_column(rows, field, stage) for field in target], schema=target)
    return brought, made.faults(brought)


def _column(rows: pa.RecordBatch, field: pa.Field, stage: str) -> pa.Array:
    index = rows.schema.get_field_index(field.name)
    if index >= 0:
        return _cast(rows.column(index), field, stage)
    if field.nullable or "default" in rules_of(field):
        if (given := rules_of(field).get("default")) is None:
            return pa.nulls(rows.num_rows, field.type)
        default = msgspec.convert(given, value_type(field))
        return pa.array([default], field.type).take(as_column(np.zeros(rows.num_rows, np.int64)))
    raise ResultInvalid(
        f"{stage} returned no column '{field.name}' ({field.type}); it returned {', '.join(rows.schema.names)}"
    )


def _cast(column: pa.Array, field: pa.Field, stage: str) -> pa.Array:
    try:
        return cast_column(column, field.type)
    except (TypeError, ValueError) as error:
        raise ResultInvalid(
            f"{stage} returned column '{field.name}' as {column.type}; its topic has {field.type}: {error}"
        ) from error


def without(applied: Applied, lost: Mapping[int, str]) -> Applied:
    """The same answer where these parents failed instead, with nothing of what they made."""
    if not lost:
        return applied
    stays = np.flatnonzero(~np.isin(applied.parents, list(lost)))
    failures = [*applied.failures, *(RowFailure(row, "ResultInvalid", reason) for row, reason in lost.items())]
    rows = None if applied.rows is None else applied.rows.take(as_column(stays))
    return Applied(rows, applied.parents[stays], failures, applied.commands)


def repeated(made: Sequence[Sequence[object]]) -> Indices:
    """The parent of each output, when ``made[i]`` are those of row ``i``."""
    return np.repeat(np.arange(len(made), dtype=np.int64), [len(outputs) for outputs in made])
