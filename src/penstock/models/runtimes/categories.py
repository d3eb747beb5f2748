"""Columns that hold categories: tree libraries read the codes of their values, and keep the list in the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InputInvalid
from ..casts import narrowed


@dataclass(frozen=True, slots=True)
class Categories:
    """By the place of a column, its values in the order of their codes.

    ``strict``: a value that was never seen is refused; else it is missing, as a null is.
    """

    values: Mapping[int, pa.Array] = field(default_factory=dict)
    strict: bool = False

    def kinds(self, count: int) -> list[pa.DataType]:
        """What the ``count`` columns of the model hold before they are coded."""
        return [self.values[n].type if n in self.values else pa.float64() for n in range(count)]

    def known(self, schema: pa.Schema) -> dict[str, pa.Array]:
        return {schema.names[n]: values for n, values in self.values.items()}

    def coded(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows with codes for values. Raises ``InputInvalid``."""
        if not self.values:
            return rows
        columns = list(rows.columns)
        for n, values in self.values.items():
            columns[n] = self._codes(columns[n], values, rows.schema.names[n])
        return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)

    def _codes(self, column: pa.Array, values: pa.Array, name: str) -> pa.Array:
        codes = pc.index_in(narrowed(column, values.type, name), value_set=values)
        if self.strict and codes.null_count > column.null_count:
            unknown = np.flatnonzero(pc.and_(codes.is_null(), column.is_valid()).to_numpy(zero_copy_only=False))
            what = f"'{column[int(unknown[0])]}', none of the {len(values)} values that the model was trained on"
            raise InputInvalid(f"column '{name}' holds {what}", unknown.tolist())
        return codes.cast(pa.float64())
