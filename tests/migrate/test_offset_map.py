from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.migrate.offset_map import Runs, gone

steps = st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 70_000]), st.sampled_from([1, 1, 1, 5])), max_size=60)


@given(steps, st.lists(st.integers(0, 60), max_size=5), st.lists(st.integers(-5, 300_000), max_size=20))
def test_it_is_a_dictionary_of_what_was_added(grown: list[tuple[int, int]], cuts: list[int], asked: list[int]) -> None:
    keys = np.cumsum([k for k, _ in grown], dtype=np.int64)
    values = np.cumsum([v for _, v in grown], dtype=np.int64)
    runs = Runs()
    for some, others in zip(np.split(keys, sorted(cuts)), np.split(values, sorted(cuts)), strict=True):
        runs.add(some, others)
    there = dict(zip(keys.tolist(), values.tolist(), strict=True))
    back = {v: k for k, v in there.items()}
    wanted = np.array([*asked, *there, *back], np.int64)
    absent = dict(zip(wanted.tolist(), gone(wanted).tolist(), strict=True))
    assert runs.values_of(wanted).tolist() == [there.get(n, absent[n]) for n in wanted.tolist()]
    assert runs.keys_of(wanted).tolist() == [back.get(n, absent[n]) for n in wanted.tolist()]
    assert [runs.before(n) for n in wanted.tolist()] == [sum(k < n for k in there) for n in wanted.tolist()]
    assert runs.total == len(there)


def test_consecutive_numbers_take_no_room() -> None:
    runs = Runs()
    for start in range(0, 100_000, 1_000):
        some = np.arange(start, start + 1_000, dtype=np.int64)
        runs.add(some + 7, some)
    assert runs._count == 1


def test_what_is_gone_stays_gone() -> None:
    assert gone(gone(np.array([0, 1, 500]))).tolist() == [-1, -2, -501]
