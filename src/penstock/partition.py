"""Which partition an event belongs to: Murmur2 over the key's UTF-8 bytes, as Kafka's Java client does, in columns.

The hash is Austin Appleby's MurmurHash2 of 32 bits with the seed of ``org.apache.kafka.common.utils.Utils.murmur2``;
the partition is its low 31 bits modulo the number of partitions (``BuiltInPartitioner.partitionForKey``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .batch import Indices

_SEED, _MIX = 0x9747B28C, 0x5BD1E995
_POSITIVE = np.uint32(0x7FFFFFFF)
_TAIL_MASKS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)
_LONG = 64  # words; a longer key is hashed by itself: a pass over the column a word would cost more
_NO_KEY = (pa.types.is_floating, pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary)

Words = npt.NDArray[np.uint32]


def split_by_key(
    rows: pa.RecordBatch, keys: pa.Array | None, partitions: int, next_round_robin: int
) -> list[tuple[int, pa.RecordBatch]]:
    """The rows of each partition that gets any, in rising order of partition; rows keep their order within one.

    ``keys``: one a row, as ``key_text`` makes them; None when no row has one. Rows without a key all go to partition
    ``next_round_robin`` (modulo the partitions), so that the caller's counter moves on once a batch.
    """
    spare = next_round_robin % partitions
    if keys is None or keys.null_count == len(keys):
        return [(spare, rows)] if rows.num_rows else []
    where = assign(keys, partitions)
    if keys.null_count:
        where[pc.is_null(keys).to_numpy(zero_copy_only=False)] = spare
    return [(p, rows if len(at) == rows.num_rows else rows.take(pa.array(at))) for p, at in group(where)]


def group(where: npt.NDArray[np.int32]) -> list[tuple[int, Indices]]:
    """The places of each value, in rising order of value; places rise within one."""
    order = np.argsort(where.astype(np.uint16) if where.max(initial=0) < 1 << 16 else where, kind="stable")
    values, starts = np.unique(where[order], return_index=True)
    ends = [*starts[1:].tolist(), len(order)]
    return [(v, order[a:b]) for v, a, b in zip(values.tolist(), starts.tolist(), ends[: len(values)], strict=True)]


def assign(keys: pa.StringArray, partitions: int) -> npt.NDArray[np.int32]:
    """The partition of each key; what it says of a null is meaningless."""
    positive = murmur2(keys).view(np.uint32) & _POSITIVE
    return (positive % np.uint32(partitions)).astype(np.int32)


def key_text(column: pa.Array) -> pa.StringArray:
    """The key that a column gives each row: its value as text, null for null.

    Integers in decimal, times as RFC 3339, booleans as true and false. Raises ``TypeError`` for a column that is no
    key: floats (which have many spellings), bytes, lists and objects.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return key_text(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    if (
        pa.types.is_floating(kind)
        or pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        raise TypeError(f"a column of {kind} cannot be a key: use text, integers, booleans or dates")
    return column if pa.types.is_string(kind) else column.cast(pa.string())


def murmur2(keys: pa.StringArray | pa.BinaryArray) -> npt.NDArray[np.int32]:
    """The hash of each key's bytes; a null hashes as if empty. One pass over the column a word of the longest key."""
    starts, lengths, data = _buffers(keys)
    words = lengths >> 2
    hashes = (lengths.astype(np.uint32)) ^ np.uint32(_SEED)
    for at in np.flatnonzero(words > _LONG).tolist():
        hashes[at] = _hash_words(int(hashes[at]), data[starts[at] : starts[at] + 4 * words[at]])
    _mix_words(hashes, data, starts, np.where(words > _LONG, 0, words))
    _mix_tail(hashes, data, starts + 4 * words, lengths & 3)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(_MIX)
    hashes ^= hashes >> np.uint32(15)
    return hashes.view(np.int32)


def _buffers(keys: pa.Array) -> tuple[Indices, Indices, npt.NDArray[np.uint8]]:
    """Where each key begins in the data, its length, and the data with room for a word read past its end."""
    _, offsets, values = keys.buffers()
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(4, np.uint8)
    ends: Indices = np.frombuffer(offsets, np.int32, len(keys) + 1, 4 * keys.offset).astype(np.int64)
    lengths: Indices = np.diff(ends)
    if keys.null_count:
        lengths[pc.is_null(keys).to_numpy(zero_copy_only=False)] = 0  # Arrow allows bytes under a null
    data = np.zeros(ends[-1] - ends[0] + 4, np.uint8)
    if values is not None:
        data[:-4] = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]]
    return ends[:-1] - ends[0], lengths, data


def _words_at(data: npt.NDArray[np.uint8], places: Indices) -> Words:
    """The little-endian words that begin at these bytes, aligned or not."""
    every = np.ndarray((len(data) - 3,), "<u4", buffer=data.data, strides=(1,))
    return every[places].astype(np.uint32, copy=False)


def _mix_words(hashes: Words, data: npt.NDArray[np.uint8], starts: Indices, words: Indices) -> None:
    active: Indices | slice = slice(None)
    for n in range(int(words.max(initial=0))):
        if n >= words[active].min():
            active = np.flatnonzero(words > n)
        k = _words_at(data, starts[active] + 4 * n) * np.uint32(_MIX)
        k ^= k >> np.uint32(24)
        k *= np.uint32(_MIX)
        hashes[active] = hashes[active] * np.uint32(_MIX) ^ k


def _mix_tail(hashes: Words, data: npt.NDArray[np.uint8], places: Indices, left: Indices) -> None:
    tail = _words_at(data, places) & _TAIL_MASKS[left]
    np.copyto(hashes, (hashes ^ tail) * np.uint32(_MIX), where=left > 0)


def _hash_words(state: int, data: npt.NDArray[np.uint8]) -> int:
    for word in data.view("<u4").tolist():
        k = word * _MIX & 0xFFFFFFFF
        k = (k ^ k >> 24) * _MIX & 0xFFFFFFFF
        state = state * _MIX & 0xFFFFFFFF ^ k
    return state
