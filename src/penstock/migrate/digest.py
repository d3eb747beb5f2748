"""What rows say, as digests: equal for equal rows in equal order, however they are stored and cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..batch import ENVELOPE, Batch, TopicSpec, column, data_columns
from ..schema.encode import keys

SIZE_BYTES = 16  # bytes of a digest


class Digest:
    """Of one partition. Each column has its own of what is null and of the values, so that batches may end anywhere."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def add(self, batch: Batch, rows: pa.RecordBatch, spec: TopicSpec) -> None:
        """``rows``: those of the batch, with ranks for positions."""
        for name, values in _columns(batch, rows, spec):
            for part, text in _streams(values):
                self._parts.setdefault(f"{name}/{part}", blake2b(digest_size=SIZE_BYTES)).update(text)

    def hex(self) -> str:
        whole = blake2b(digest_size=SIZE_BYTES)
        for name in sorted(self._parts):
            whole.update(name.encode() + self._parts[name].digest())
        return whole.hexdigest()


def _columns(batch: Batch, rows: pa.RecordBatch, spec: TopicSpec) -> Iterator[tuple[str, pa.Array]]:
    """The row as readers see it. What a record in JSON leaves out, since it says nothing, is left out here too: a
    source or type that is the topic's own, a key that its column says, a first ordinal; and extension attributes are
    text."""
    data = data_columns(rows)
    for field, values in zip(data.schema, data.columns, strict=True):
        yield field.name, values
    for name in ENVELOPE:
        match name:
            case "_key":
                yield name, keys(rows, spec)
            case "_source":
                yield name, _without(column(rows, name), spec.default_source)
            case "_type":
                yield name, column(rows, name).fill_null(spec.name)
            case "_ordinal":
                yield name, column(rows, name).fill_null(0)
            case "_extensions":
                yield name, pa.array([_as_text(t) for t in column(rows, name).to_pylist()], pa.string())
            case _:
                yield name, column(rows, name)
    origin = "" if batch.origin is None else msgspec.json.encode(batch.origin).decode()
    yield "origin", pa.array([origin] * len(batch), pa.string())


def _without(values: pa.Array, default: str) -> pa.Array:
    return pc.if_else(pc.equal(values, default), pa.scalar(None, pa.string()), values)


def _as_text(extensions: str | None) -> str | None:
    if extensions is None:
        return None
    found: dict[str, Any] = msgspec.json.decode(extensions)
    texts = {n: v if isinstance(v, str) else msgspec.json.encode(v).decode() for n, v in found.items()}
    return msgspec.json.encode(dict(sorted(texts.items()))).decode()


def _streams(values: pa.Array) -> Iterator[tuple[str, bytes]]:
    """Bytes whose concatenation over several batches is that of one batch with all of the rows."""
    yield "null", values.is_null().to_numpy(zero_copy_only=False).tobytes()
    there = values.drop_null()
    kind = there.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        yield "lengths", pc.binary_length(there).to_numpy(zero_copy_only=False).tobytes()
        yield "bytes", b"".join(there.cast(pa.binary()).to_pylist())
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yield "values", np.ascontiguousarray(there.to_numpy(zero_copy_only=False)).tobytes()
    elif pa.types.is_temporal(kind):
        width = {32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        yield "values", there.view(width).to_numpy(zero_copy_only=False).tobytes()
    else:
        yield "values", "".join(f"{value!r}\n" for value in there.to_pylist()).encode()
