"""Open Inference Protocol v2 tensors, JSON and binary, to columns and back.

A tensor is a column by its name, ``[N]`` or ``[N, 1]``; or one tensor ``[N, k]`` holds all k input columns of the
signature in order. Binary data follows the JSON (extension ``binary_tensor_data``): little-endian, row by row; BYTES
elements each after their length in 4 bytes. A ``null`` is a missing value, which means to the model what it means in
the stream.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import InputInvalid, InvalidEvent, TooLarge
from ...models.casts import is_text, narrowed, overflows
from ...models.interface import Signature
from ...schema.ingress.structure import has_more

NUMPY: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
NAMES: dict[pa.DataType, str] = {
    pa.bool_(): "BOOL",
    pa.uint8(): "UINT8",
    pa.int8(): "INT8",
    pa.int16(): "INT16",
    pa.int32(): "INT32",
    pa.int64(): "INT64",
    pa.float16(): "FP16",
    pa.float32(): "FP32",
    pa.float64(): "FP64",
    pa.string(): "BYTES",
}
Values = npt.NDArray[Any]
FRAME = 4_096  # objects, lists and elements that a call may have beside the values of its inputs


class Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = msgspec.Raw(b"")
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestedOutput] = []


def parse(
    parts: Iterable[bytes], json_length: int | None, signature: Signature, row_limit: int
) -> tuple[InferRequest, memoryview]:
    """The JSON part of a body and the bytes after it. Raises ``InvalidEvent``, ``TooLarge`` for more than so many rows,
    and what the parts raise.

    What the JSON holds is counted before anything is made of it, and before the rest of the parts are taken.
    """
    head, binary = _counted(parts, row_limit * len(signature.inputs) + FRAME, json_length)
    if head is None:
        raise TooLarge(f"the call has more than {row_limit} rows of the model's inputs: send several")
    try:
        question = msgspec.json.decode(head, type=InferRequest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidEvent(str(error)) from None
    for tensor in question.inputs:
        if (rows := max(tensor.shape[:1], default=0)) > row_limit:
            raise TooLarge(f"tensor '{tensor.name:.40}' has {rows} rows; the limit is {row_limit}: send several calls")
    return question, binary


def _counted(parts: Iterable[bytes], most: int, json_length: int | None) -> tuple[bytes | None, memoryview]:
    """The JSON part, None if it has more than ``most`` values, and what follows it."""
    if json_length is None:
        taken: list[bytes] = []
        many = has_more(_kept(parts, taken), most)
        return None if many else b"".join(taken), memoryview(b"")
    body = b"".join(parts)
    if json_length > len(body):
        raise InvalidEvent(f"the header announces {json_length} bytes of JSON, and the body has {len(body)}")
    head = body[:json_length]
    return None if has_more([head], most) else head, memoryview(body)[json_length:]


def _kept(parts: Iterable[bytes], to: list[bytes]) -> Iterator[bytes]:
    for part in parts:
        to.append(part)
        yield part


def columns(question: InferRequest, binary: memoryview, signature: Signature) -> pa.RecordBatch:
    """The signature's input columns. Raises ``InvalidEvent`` naming the tensor in ``field``."""
    arrays: dict[str, Values] = {}
    for tensor in question.inputs:
        values, binary = _values(tensor, binary)
        if tensor.name in arrays:
            raise InvalidEvent("this tensor comes twice", field=tensor.name)
        arrays[tensor.name] = values
    if binary:
        raise InvalidEvent(f"{len(binary)} bytes are left after the last tensor")
    names = signature.inputs.names
    if len(arrays) == 1 and len(names) > 1:
        ((name, matrix),) = arrays.items()
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise InvalidEvent(f"one tensor must be [N, {len(names)}], a column each: {', '.join(names)}", field=name)
        arrays = {n: matrix[:, i] for i, n in enumerate(names)}
    return _checked(arrays, signature)


def _checked(arrays: dict[str, Values], signature: Signature) -> pa.RecordBatch:
    if missing := [n for n in signature.inputs.names if n not in arrays]:
        raise InvalidEvent("this input is missing", field=missing[0])
    if stray := [n for n in arrays if n not in signature.inputs.names]:
        raise InvalidEvent(f"the model has no such input: it has {', '.join(signature.inputs.names)}", field=stray[0])
    built = []
    for field in signature.inputs:
        values = arrays[field.name]
        flat = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
        if flat.ndim != 1:
            raise InvalidEvent(f"shape {list(values.shape)} is not one value a row: [N] or [N, 1]", field=field.name)
        built.append(_column(flat, field))
    if len({len(c) for c in built}) > 1:
        raise InvalidEvent("the tensors have different numbers of rows")
    return pa.RecordBatch.from_arrays(built, schema=pa.schema([pa.field(f.name, f.type) for f in signature.inputs]))


def _column(values: Values, field: pa.Field) -> pa.Array:
    """As the model reads it, by the same rule as the stream's rows."""
    try:
        column = pa.array(values.tolist() if values.dtype == object else np.ascontiguousarray(values))
        if is_text(column.type) != is_text(field.type) and not _converts(column.type, field.type):
            raise TypeError(f"the tensor holds {column.type}")
        return narrowed(column, field.type, field.name)
    except InputInvalid as error:
        raise InvalidEvent(error.reason, row=error.rows[0], field=field.name) from None
    except (pa.ArrowException, TypeError, UnicodeError) as error:
        raise InvalidEvent(f"not a column of {field.type}: {error}", field=field.name) from None


def _converts(found: pa.DataType, wanted: pa.DataType) -> bool:
    """A time has no datatype of its own and comes as text; a tensor of nulls has none."""
    return bool(pa.types.is_null(found) or pa.types.is_null(wanted) or pa.types.is_temporal(wanted))


def _values(tensor: Tensor, binary: memoryview) -> tuple[Values, memoryview]:
    if tensor.datatype != "BYTES" and tensor.datatype not in NUMPY:
        raise InvalidEvent(
            f"datatype '{tensor.datatype:.40}' is not one of BYTES, {', '.join(NUMPY)}", field=tensor.name
        )
    if not 1 <= len(tensor.shape) <= 2 or min(tensor.shape) < 0 or max(tensor.shape) > 2**31:
        raise InvalidEvent(f"shape {tensor.shape!r:.60} is not [N] or [N, k]", field=tensor.name)
    count = math.prod(tensor.shape)
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return _from_json(tensor, count), binary
    if not isinstance(size, int) or not 0 <= size <= len(binary):
        raise InvalidEvent(f"binary_data_size {size!r:.40} is beyond the body", field=tensor.name)
    return _from_binary(tensor, count, binary[:size]), binary[size:]


def _from_json(tensor: Tensor, count: int) -> Values:
    if not bytes(tensor.data):
        raise InvalidEvent("neither data nor binary_data_size", field=tensor.name)
    try:
        found = _flat(tensor)
        if len(found) != count:
            raise InvalidEvent(f"{len(found)} values do not fill shape {tensor.shape}", field=tensor.name)
        values = np.array(found, object) if tensor.datatype == "BYTES" else _typed(tensor, found)
    except (msgspec.DecodeError, RecursionError, OverflowError) as error:
        raise InvalidEvent(str(error), field=tensor.name) from None
    return values.reshape(tensor.shape)


def _flat(tensor: Tensor) -> list[Any]:
    """The values row by row, from a flat list or one that is nested as the shape is. A null is a missing value."""
    number: Any = {"BYTES": str, "BOOL": bool}.get(tensor.datatype, float if tensor.datatype[0] == "F" else int)
    try:
        return msgspec.json.decode(tensor.data, type=list[number | None])
    except msgspec.ValidationError:
        nested = msgspec.json.decode(tensor.data, type=list[list[number | None]])
    wanted = tensor.shape[1] if len(tensor.shape) == 2 else None
    if (other := next((n for n, row in enumerate(nested) if len(row) != wanted), None)) is not None:
        raise InvalidEvent(
            f"data[{other}] has {len(nested[other])} values: nested data follow shape {tensor.shape}", field=tensor.name
        )
    return [value for row in nested for value in row]


def _typed(tensor: Tensor, found: list[Any]) -> Values:
    """Numbers of the tensor's datatype. Raises ``InvalidEvent`` or ``OverflowError`` for one beyond it."""
    kind = np.dtype(NUMPY[tensor.datatype])
    lacks = None in found
    filled = [0 if value is None else value for value in found] if lacks else found
    values = np.array(filled, np.float64 if kind.kind == "f" else kind)
    if kind.kind == "f":
        if (lost := overflows(values, kind)).any():
            place = int(lost.argmax())
            raise InvalidEvent(f"{found[place]!r:.40} is beyond {tensor.datatype}", field=tensor.name)
        values = values.astype(kind)
    if not lacks:
        return values
    nullable = values.astype(object)
    nullable[[value is None for value in found]] = None
    return nullable


def _from_binary(tensor: Tensor, count: int, data: memoryview) -> Values:
    if tensor.datatype == "BYTES":
        return np.array(_texts(tensor, data, count), dtype=object).reshape(tensor.shape)
    kind = np.dtype(NUMPY[tensor.datatype])
    if len(data) != count * kind.itemsize:
        raise InvalidEvent(f"{len(data)} bytes do not fill shape {tensor.shape}", field=tensor.name)
    return np.frombuffer(data, kind).reshape(tensor.shape)


def _texts(tensor: Tensor, data: memoryview, count: int) -> list[str]:
    found: list[str] = []
    at = 0
    try:
        while at < len(data) and len(found) <= count:
            (length,) = struct.unpack_from("<I", data, at)
            at += 4 + length
            if at > len(data):
                raise InvalidEvent("an element reaches beyond the data", field=tensor.name)
            found.append(str(data[at - length : at], "utf-8"))
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidEvent(str(error), field=tensor.name) from None
    if len(found) != count:
        raise InvalidEvent(f"{len(found)} values do not fill shape {tensor.shape}", field=tensor.name)
    return found


def answer(rows: pa.RecordBatch, question: InferRequest) -> tuple[list[dict[str, Any]], bytes]:
    """The output tensors that were asked for, and the binary data of those asked for so. Raises ``InvalidEvent``."""
    wanted = question.outputs or [RequestedOutput(name) for name in rows.schema.names]
    if twice := [name for name, times in Counter(one.name for one in wanted).items() if times > 1]:
        raise InvalidEvent("this output is asked for twice", field=twice[0])
    all_binary = bool(question.parameters.get("binary_data_output"))
    tensors: list[dict[str, Any]] = []
    binary = b""
    for one in wanted:
        index = rows.schema.get_field_index(one.name)
        if index < 0:
            raise InvalidEvent(f"the model has no such output: it has {', '.join(rows.schema.names)}", field=one.name)
        column = rows.column(index)
        tensor: dict[str, Any] = {"name": one.name, "datatype": datatype(column.type), "shape": [len(column)]}
        if bool(one.parameters.get("binary_data", all_binary)):
            data = _bytes(column)
            tensor["parameters"] = {"binary_data_size": len(data)}
            binary += data
        else:
            tensor["data"] = column.to_pylist()
        tensors.append(tensor)
    return tensors, binary


def datatype(kind: pa.DataType) -> str:
    return NAMES.get(kind, "BYTES")


def _bytes(column: pa.Array) -> bytes:
    name = datatype(column.type)
    if name == "BYTES":
        texts = [str(v).encode() for v in column.to_pylist()]
        return b"".join(struct.pack("<I", len(t)) + t for t in texts)
    return column.to_numpy(zero_copy_only=False).astype(NUMPY[name]).tobytes()  # type: ignore[no-any-return]
