"""A stored batch: Arrow IPC without its schema, and a checksum over everything that is stored with it."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec
import pyarrow as pa

from ....batch import Lineage

_HEAD = struct.Struct("<qqqq")
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(tuple[str, str, str, str | None, int | None]).decode


def encode_origin(origin: Lineage | None) -> bytes:
    if origin is None:
        return b""
    return _ENCODE((origin.stage, origin.topic, origin.code, origin.model, origin.version))


@lru_cache(256)  # a stage and its model's version repeat from batch to batch
def decode_origin(meta: bytes) -> Lineage | None:
    return Lineage(*_DECODE(meta)) if meta else None


def checksum(key: int, count: int, time: int, schema: int, meta: bytes, payload: Any) -> int:
    return crc32(payload, crc32(meta, crc32(_HEAD.pack(key, count, time, schema))))


def decode_rows(payload: bytes, schema: pa.Schema, count: int) -> pa.RecordBatch:
    """Raises ``ValueError`` for bytes that are not ``count`` rows of this schema."""
    try:
        rows = pa.ipc.read_record_batch(pa.py_buffer(payload), schema)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"not decodable: {error}") from error
    if rows.num_rows != count:
        raise ValueError(f"{rows.num_rows} rows instead of {count}")
    return rows
