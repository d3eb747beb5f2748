"""What grows holds what was put into it."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pytest

from penstock.filters.growing import GrowingArray, GrowingLists


def test_an_array_grows() -> None:
    found = GrowingArray(np.float64)
    for number in range(100):
        found.append(number / 2)
    assert len(found) == 100
    assert found.values.tolist() == [number / 2 for number in range(100)]


def test_lists_hold_what_is_put_into_them_and_taken_out() -> None:
    of, lists, expected = random.Random(5), GrowingLists(), defaultdict[int, list[int]](list)
    for step in range(3_000):
        number = of.choice([0, 1, 2, of.randint(0, 300)])
        if expected[number] and of.random() < 0.4:
            value = of.choice(expected[number])
            expected[number].remove(value)
            lists.remove(number, value)
        else:
            expected[number].append(step)
            lists.append(number, step)
        if step % 50 == 0:
            asked = np.array(of.choices(range(500), k=20), np.int64)
            places, values = lists.expand(asked)
            assert sorted(zip(places.tolist(), values.tolist(), strict=True)) == sorted(
                (place, value) for place, number in enumerate(asked.tolist()) for value in expected[number]
            )
            assert [lists.count(number) for number in asked.tolist()] == [len(expected[n]) for n in asked.tolist()]
            for at in (0, 3, 10_000):
                long, found = lists.at(asked, at)
                assert long.tolist() == [p for p, n in enumerate(asked.tolist()) if len(expected[n]) > at]
                assert all(v in expected[int(asked[p])] for p, v in zip(long.tolist(), found.tolist(), strict=True))


def test_lists_of_one_value_each() -> None:
    lists = GrowingLists()
    for number in (0, 2, 5):
        lists.append(number, 10 * number)
    places, values = lists.expand(np.array([5, 0, 1, 40, 2], np.int64))
    assert (places.tolist(), values.tolist()) == ([0, 1, 4], [50, 0, 20])
    assert [found.tolist() for found in lists.expand(np.zeros(0, np.int64))] == [[], []]


def test_what_is_not_there_cannot_be_taken_out() -> None:
    lists = GrowingLists()
    lists.append(0, 7)
    with pytest.raises(IndexError):
        lists.remove(0, 8)
