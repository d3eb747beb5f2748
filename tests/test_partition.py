from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import partition
from penstock.partition import assign, group, key_text, murmur2, split_by_key

GOLDEN = {  # UtilsTest.testMurmur2 of the Kafka clients
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


def reference(data: bytes) -> int:
    """The algorithm as its description reads, a byte at a time."""
    m, h = 0x5BD1E995, 0x9747B28C ^ len(data)
    whole = len(data) - len(data) % 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & 0xFFFFFFFF
        k = (k ^ (k >> 24)) * m & 0xFFFFFFFF
        h = (h * m & 0xFFFFFFFF) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * m & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * m & 0xFFFFFFFF
    h ^= h >> 15
    return h - (1 << 32) if h >> 31 else h


def test_kafkas_own_vectors() -> None:
    assert murmur2(pa.array(list(GOLDEN))).tolist() == list(GOLDEN.values())
    assert [reference(k.encode()) for k in GOLDEN] == list(GOLDEN.values())


def test_the_vectors_notice_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "_SEED", 0x9747B28D)
    assert murmur2(pa.array(list(GOLDEN))).tolist() != list(GOLDEN.values())


keys = st.text(max_size=20) | st.sampled_from(["", "é", "x" * 255, "x" * 256, "ab" * 200])


@given(st.lists(st.none() | keys, max_size=30), st.integers(0, 5))
@settings(max_examples=200)
def test_columns_hash_as_single_keys_do(values: list[str | None], start: int) -> None:
    column = pa.array(values, pa.string())[start:]
    expected = [reference((v or "").encode()) for v in values[start:]]
    assert murmur2(column).tolist() == expected
    assert assign(column, 7).tolist() == [(h & 0x7FFFFFFF) % 7 for h in expected]


def test_bytes_under_a_null_do_not_count() -> None:
    offsets, data = pa.py_buffer(np.array([0, 3, 6], np.int32)), pa.py_buffer(b"abcdef")
    column = pa.StringArray.from_buffers(2, offsets, data, pa.py_buffer(b"\x02"))
    assert column.to_pylist() == [None, "def"]
    assert murmur2(column).tolist() == [reference(b""), reference(b"def")]


def rows(*values: str | None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": range(len(values)), "k": pa.array(values, pa.string())})


@given(st.lists(st.none() | st.sampled_from("abcdefgh"), max_size=40), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=100)
def test_split_loses_nothing_and_keeps_order(values: list[str | None], partitions: int, turn: int) -> None:
    batch = rows(*values)
    parts = split_by_key(batch, batch.column("k"), partitions, turn)
    assert [p for p, _ in parts] == sorted({p for p, _ in parts})
    assert sorted(n for _, part in parts for n in part.column("n").to_pylist()) == list(range(len(values)))
    for p, part in parts:
        numbers = part.column("n").to_pylist()
        assert numbers == sorted(numbers)
        for key in part.column("k").to_pylist():
            assert p == (turn % partitions if key is None else (reference(key.encode()) & 0x7FFFFFFF) % partitions)


def test_without_keys_a_batch_goes_to_one_partition() -> None:
    batch = rows("a", "b")
    assert split_by_key(batch, None, 4, 6) == [(2, batch)]
    assert split_by_key(batch.slice(0, 0), None, 4, 6) == []


def test_groups_keep_order() -> None:
    where = np.array([2, 0, 2, 1, 0], np.int32)
    assert [(p, at.tolist()) for p, at in group(where)] == [(0, [1, 4]), (1, [3]), (2, [0, 2])]
    assert group(where[:0]) == []


def test_keys_as_text() -> None:
    assert key_text(pa.array([1, None, -3])).to_pylist() == ["1", None, "-3"]
    assert key_text(pa.array([True, False])).to_pylist() == ["true", "false"]
    assert key_text(pa.array(["a", "b", "a"]).dictionary_encode()).to_pylist() == ["a", "b", "a"]
    assert key_text(pa.array([0], pa.timestamp("us", "UTC"))).to_pylist() == ["1970-01-01T00:00:00.000000Z"]
    assert key_text(pa.array([0], pa.date32())).to_pylist() == ["1970-01-01"]
    for column in (pa.array([1.5]), pa.array([b"x"]), pa.array([[1]])):
        with pytest.raises(TypeError, match="cannot be a key"):
            key_text(column)
