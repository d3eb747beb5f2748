"""What a model reads and answers, as JSON, and the checks made of it: at registration, and of every batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ModelRefused, PredictionInvalid, PredictionMisshapen
from .casts import castable, is_list, narrowed
from .interface import Signature
from .packing import as_numbers

Mask = npt.NDArray[np.bool_]

DECLARED = {b"penstock.inputs": b"declared"}

# -- as JSON ------------------------------------------------------------------


def to_json(signature: Signature) -> dict[str, Any]:
    """``{"inputs": [{"name", "type", "nullable"}, …], "outputs": […]}``; types by their Arrow names."""
    return {
        "inputs": [_field_to_json(f) for f in signature.inputs],
        "outputs": [_field_to_json(f) for f in signature.outputs],
    }


def from_json(data: dict[str, Any]) -> Signature:
    """Raises ``ModelRefused`` when it is no signature."""
    try:
        inputs, outputs = ([_field_from_json(f) for f in data[part]] for part in ("inputs", "outputs"))
        return Signature(pa.schema(inputs), pa.schema(outputs))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRefused(f"not a signature: {error!r}") from error


def shared(data: dict[str, Any]) -> Signature:
    """As ``from_json``, one object for equal ones: the versions of a model mostly have the same."""
    return _of_text(msgspec.json.encode(data))


@lru_cache(maxsize=1_024)
def _of_text(text: bytes) -> Signature:
    return from_json(msgspec.json.decode(text))


def _field_to_json(field: pa.Field) -> dict[str, Any]:
    return {"name": field.name, "type": _type_to_json(field.type), "nullable": field.nullable}


def _field_from_json(data: dict[str, Any]) -> pa.Field:
    return pa.field(data["name"], _type_from_json(data["type"]), data.get("nullable", True))


def _type_to_json(kind: pa.DataType) -> Any:
    if pa.types.is_fixed_size_list(kind):
        return {"list": _type_to_json(kind.value_type), "size": kind.list_size}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"list": _type_to_json(kind.value_type)}
    if pa.types.is_struct(kind):
        return {"struct": [_field_to_json(kind.field(i)) for i in range(kind.num_fields)]}
    if pa.types.is_dictionary(kind):
        return _type_to_json(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return {"timestamp": kind.unit, "tz": kind.tz}
    name = str(kind)
    try:
        pa.type_for_alias(name)
    except ValueError:
        raise ModelRefused(f"a model can neither read nor answer columns of type {name}") from None
    return name


def _type_from_json(data: Any) -> pa.DataType:
    match data:
        case str():
            return pa.type_for_alias(data)
        case {"list": item, "size": size}:
            return pa.list_(_type_from_json(item), size)
        case {"list": item}:
            return pa.list_(_type_from_json(item))
        case {"struct": fields}:
            return pa.struct([_field_from_json(f) for f in fields])
        case {"timestamp": unit, "tz": tz}:
            return pa.timestamp(unit, tz)
    raise ValueError(f"{data!r} is no column type")


# -- the columns on offer -----------------------------------------------------


def offer(columns: pa.Schema | None, declared: Sequence[str] | None) -> pa.Schema | None:
    """What a runtime is told of a model's source: its columns, or those declared with ``inputs=``, in that order.

    A declared column that the source does not know yet has type null. Raises ``ModelRefused`` for one that a known
    source lacks.
    """
    if declared is None:
        return columns
    if columns is None:
        return pa.schema([(name, pa.null()) for name in declared], metadata=DECLARED)
    for name in declared:
        if name not in columns.names:
            raise ModelRefused(f"inputs= names column '{name}', and the source has {listed(columns.names)}")
    return pa.schema([columns.field(name) for name in declared], metadata=DECLARED)


def is_declared(columns: pa.Schema | None) -> bool:
    return columns is not None and (columns.metadata or {}).items() >= DECLARED.items()


def fits(signature: Signature, columns: pa.Schema) -> None:
    """Raises ``ModelRefused`` naming the input that a source with these columns lacks or has of another kind."""
    for field in signature.inputs:
        if field.name not in columns.names:
            raise ModelRefused(
                f"the model reads column '{field.name}' ({field.type}), and its source has {listed(columns.names)}"
            )
        found = columns.field(field.name).type
        if not castable(found, field.type):
            raise ModelRefused(
                f"the model reads column '{field.name}' as {field.type}, and its source has it as {found}"
            )


# -- of every batch -----------------------------------------------------------


class FeatureColumns:
    """Takes the columns a model reads, in its order, out of rows that have them among others."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        # Settled once a schema: looking through one costs more than taking columns.
        self._schema: pa.Schema | None = None
        self._places: list[int] = []
        self._lists = False

    def __call__(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Raises ``ModelRefused`` as ``fits`` does, and ``InputInvalid`` for lists that the model cannot read."""
        schema = rows.schema
        if self._schema is None or not schema.equals(self._schema):
            self._settle(schema)
        chosen = rows.select(self._places)
        return self._cast_lists(chosen) if self._lists else chosen

    def _settle(self, schema: pa.Schema) -> None:
        wanted = self._signature.inputs
        fits(self._signature, schema)
        self._places = [schema.get_field_index(name) for name in wanted.names]
        self._lists = any(is_list(f.type) and schema.field(f.name).type != f.type for f in wanted)
        self._schema = schema

    def _cast_lists(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        wanted = zip(rows.columns, self._signature.inputs, strict=True)
        columns = [narrowed(c, f.type, f.name) if is_list(f.type) else c for c, f in wanted]
        return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)


def check_answer(signature: Signature, answer: pa.RecordBatch, count: int, *, model: str) -> pa.RecordBatch:
    """The same answer, if it has ``count`` rows of the declared columns without null, NaN or infinity.

    Raises ``PredictionMisshapen`` for another number of rows, and ``PredictionInvalid`` naming the column, how many
    values are wrong and the first row that is.
    """
    if not isinstance(answer, pa.RecordBatch):
        raise PredictionMisshapen(f"model {model} answered with a {type(answer).__name__}, not with rows")
    if answer.num_rows != count:
        raise PredictionMisshapen(
            f"model {model} answered {answer.num_rows} rows for {count}: it must answer each row, in their order"
        )
    if not _same_columns(answer.schema, signature.outputs):
        raise PredictionInvalid(
            f"model {model} answered columns {described(answer.schema)}; "
            f"its signature says {described(signature.outputs)}"
        )
    for n in range(answer.num_columns):
        _check_values(answer, n, model)
    return answer


def _same_columns(found: pa.Schema, wanted: pa.Schema) -> bool:
    return bool(found.equals(wanted)) or (found.names == wanted.names and found.types == wanted.types)


def _check_values(answer: pa.RecordBatch, n: int, model: str) -> None:
    column, name = answer.column(n), answer.schema.field(n).name
    values = column
    while is_list(values.type):
        if values.null_count or not len(values):
            break
        values = values.flatten()
    floating = pa.types.is_floating(values.type) and len(values) > 0
    if not values.null_count and not (floating and not np.isfinite(as_numbers(values)).all()):
        return
    wrong = np.flatnonzero(_wrong_rows(column))
    raise PredictionInvalid(
        f"model {model}: column '{name}' is null, NaN or infinite in {len(wrong)} of {len(column)} rows, "
        f"the first is row {wrong[0]}"
    )


def _wrong_rows(column: pa.Array) -> Mask:
    if is_list(column.type) and len(column):
        inner = _wrong_rows(column.flatten())
        parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        wrong: Mask = np.bincount(parents[inner], minlength=len(column)) > 0
    elif pa.types.is_floating(column.type):
        wrong = ~np.isfinite(column.to_numpy(zero_copy_only=False))
    else:
        wrong = np.zeros(len(column), np.bool_)
    missing: Mask = column.is_null().to_numpy(zero_copy_only=False)
    return wrong | missing


def listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in names) if names else "no columns"


def described(schema: pa.Schema) -> str:
    return "(" + ", ".join(f"{f.name}: {f.type}" for f in schema) + ")"
