"""Which rows were there before: as a set would say, whatever order they come in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import ENVELOPE, Lineage
from penstock.log.kafka.consume.deduplication import Deduplication
from penstock.log.kafka.records.interface import Chunk

STAGE = Lineage("stage", "in", "code")
Key = tuple[int, int, int]  # the parent's partition, the parent, the ordinal

keys = st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 2))
chunks = st.lists(st.lists(keys, min_size=1, max_size=12), max_size=8)


def chunk(rows: list[Key], origin: Lineage | None = STAGE, *, first: int = 0) -> Chunk:
    partitions, parents, ordinals = zip(*rows, strict=True)
    envelope = {"_parent_partition": partitions, "_parent": parents, "_ordinal": [n or None for n in ordinals]}
    columns = [pa.array(values, ENVELOPE[name]) for name, values in envelope.items()]
    positions = np.arange(first, first + len(rows))
    return Chunk(positions, positions, pa.RecordBatch.from_arrays(columns, list(envelope)), origin, first)


@given(chunks)
def test_each_row_is_fresh_once(made: list[list[Key]]) -> None:
    repeats, seen = Deduplication(), set[Key]()
    for rows in made:
        expected = []
        for key in rows:
            expected.append(key not in seen)
            seen.add(key)
        assert repeats.fresh(chunk(rows)).tolist() == expected


@given(chunks, st.integers(1, 10))
def test_what_is_forgotten_is_doubled_and_never_lost(made: list[list[Key]], window: int) -> None:
    repeats, seen = Deduplication(window), set[Key]()
    for rows in made:
        found = repeats.fresh(chunk(rows)).tolist()
        for key, fresh in zip(rows, found, strict=True):
            assert fresh or key in seen
            seen.add(key)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.data())
def test_what_a_killed_stage_makes_again_is_dropped_however_it_is_cut(sizes: list[int], data: st.DataObject) -> None:
    rows = [(0, parent, ordinal) for parent, size in enumerate(sizes) for ordinal in range(size)]
    repeats, handed_out = Deduplication(), list[Key]()
    done = 0
    while done < len(rows):
        done = data.draw(st.integers(0, done))  # positions never lead the outputs
        end = data.draw(st.integers(done + 1, len(rows)))
        again = rows[done:end]
        handed_out += [key for key, fresh in zip(again, repeats.fresh(chunk(again)), strict=True) if fresh]
        done = end
    assert handed_out == rows


def test_stages_and_their_sources_are_apart() -> None:
    repeats = Deduplication()
    origins = [STAGE, Lineage("other", "in", "code"), Lineage("stage", "elsewhere", "code")]
    for origin in origins:
        assert repeats.fresh(chunk([(0, 1, 0)], origin)).all()
    for origin in [*origins, Lineage("stage", "in", "newer code", "model", 2)]:
        assert not repeats.fresh(chunk([(0, 1, 0)], origin)).any()


def test_what_was_published_is_never_a_repeat() -> None:
    repeats = Deduplication()
    for _ in range(2):
        assert repeats.fresh(chunk([(0, 1, 0)], None)).all()
        assert repeats.fresh(chunk([(-1, -1, 0)])).all()
