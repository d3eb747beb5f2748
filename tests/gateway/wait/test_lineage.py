"""How much is looked through for what became of events, however many partitions they went to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.gateway.wait.lineage import Known


def looks(partitions: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """At partitions, while one batch after the other brings the children of one."""
    known, count = Known(), 0
    for partition in range(partitions):
        known.add(partition, np.arange(3), np.arange(3) + 3 * partition)
    isin, searchsorted = np.isin, np.searchsorted

    def counted(work: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            return work(*given, **named)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(np, "isin", counted(isin))
        patched.setattr(np, "searchsorted", counted(searchsorted))
        for partition in range(partitions):
            rows, roots = known.children("s", np.full(3, partition), np.arange(3))
            assert rows.tolist() == [0, 1, 2] and roots.tolist() == [
                3 * partition,
                3 * partition + 1,
                3 * partition + 2,
            ]
            assert sorted(known.childless("s")) == list(range(partition + 1, partitions))
    return count


def test_the_looks_grow_with_the_partitions_and_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(400, monkeypatch) < 5 * looks(100, monkeypatch), "each batch is looked for in all of them"


def test_what_comes_later_is_childless_again() -> None:
    known = Known()
    known.add(0, np.arange(2), np.arange(2))
    assert known.childless("s") == {0: 1}
    known.children("s", np.zeros(2, np.int64), np.arange(2))
    assert known.childless("s") == {}
    known.add(0, np.array([5]), np.array([2]))
    known.add(7, np.array([1]), np.array([3]))
    assert known.childless("s") == {0: 5, 7: 1}


def test_rows_without_a_parent_are_nobodys_children() -> None:
    known = Known()
    known.add(0, np.arange(2), np.arange(2))
    rows, _ = known.children("s", np.array([np.nan, 0.0]), np.array([np.nan, 1.0]))
    assert rows.tolist() == [1]
