"""Lineage, ids, keys and partitions do not depend on where batches were cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.batch import TopicSpec
from penstock.partition import assign
from penstock.runner.interface import Applied
from penstock.stages import emit
from penstock.stages.emit import Emitter
from penstock.stages.interface import Outcome, Output, Work


def children(rows: pa.RecordBatch, timeout: float) -> Applied:
    """n % 4 children of each event: none, one or several."""
    n = rows.column("n").to_numpy()
    parents = np.repeat(np.arange(len(n), dtype=np.int64), n % 4)
    columns = [pa.array(n[parents]), pa.array(np.arange(len(parents), dtype=np.int64) * 0)]
    return Applied(pa.RecordBatch.from_arrays(columns, names=["n", "copy"]), parents)


def stored(new_rig: Any, sizes: list[int], count: int = 500) -> tuple[Any, Any]:
    rig = new_rig()
    rig.publish(range(count))
    turn = iter(sizes * count)
    pump = rig.pump(rig.transform(children))
    pump._rows = lambda: next(turn)
    rig.drain(pump)
    values: dict[int, list[int]] = {b.partition: [] for b in rig.read("out")}
    for batch in rig.read("out"):
        values[batch.partition] += batch.rows.column("n").to_pylist()
    return rig.ids("out"), values


@pytest.mark.parametrize("size", [7, 1_000])
def test_ids_and_order_are_equal_at_any_batch_size(new_rig: Any, size: int) -> None:
    ids, values = stored(new_rig, [1])
    assert stored(new_rig, [size]) == (ids, values), "it depends on how the rows are cut"
    every = [i for of in ids.values() for i in of]
    assert len(set(every)) == len(every) == sum(n % 4 for n in range(500))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_ids_are_equal_however_it_is_cut(new_rig: Any, sizes: list[int]) -> None:
    assert stored(new_rig, sizes, 100) == stored(new_rig, [100], 100)


def test_an_ordinal_within_the_batch_would_change_the_ids(new_rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emit, "ordinal", lambda parents: np.arange(len(parents), dtype=np.int64))
    with pytest.raises(AssertionError, match="how the rows are cut"):
        test_ids_and_order_are_equal_at_any_batch_size(new_rig, 7)


def work(partitions: list[int], who: list[str | None], key: list[str | None] | None = None) -> Work:
    columns = {"who": pa.array(who, pa.string())} | ({} if key is None else {"_key": pa.array(key, pa.string())})
    positions = np.arange(len(who), dtype=np.int64) * 3
    return Work("in", pa.RecordBatch.from_pydict(columns), np.array(partitions, np.int32), positions, positions)


def written(target: TopicSpec, of: Work, rows: pa.RecordBatch, parents: list[int]) -> list[tuple[int, Any]]:
    source = TopicSpec("in", pa.schema([("who", pa.string())]), 4, key="who")
    emitter = Emitter("s", "in", "code", {"in": source, "out": target})
    writes = emitter.writes(of, Outcome([Output("out", rows, np.array(parents, np.int64))]))
    return [(w.partition, row) for w in writes for row in w.rows.to_pylist()]


def rows(values: list[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"v": pa.array(values)})


def test_children_follow_their_parent(new_rig: Any) -> None:
    got = written(TopicSpec("out", partitions=4), work([0, 3], ["a", None]), rows([1, 2]), [0, 1])
    assert [(p, r["_key"], r["_parent_partition"], r["_parent"]) for p, r in got] == [(0, "a", 0, 0), (3, None, 3, 3)]


def test_an_explicit_key_goes_before_the_column() -> None:
    got = written(TopicSpec("out", partitions=4), work([0, 0], ["a", "b"], ["x", None]), rows([1, 2]), [0, 1])
    assert [r["_key"] for _, r in got] == ["x", "b"]


def test_another_number_of_partitions_hashes_the_parents_key() -> None:
    keys = ["a", "b", "c", None]
    got = written(TopicSpec("out", partitions=3), work([0, 1, 2, 3], keys), rows([0, 1, 2, 3]), [0, 1, 2, 3])
    expected = [*assign(pa.array(keys[:3]), 3).tolist(), 3 % 3]
    assert {r["v"]: p for p, r in got} == dict(enumerate(expected))


def test_a_targets_own_key_decides() -> None:
    target = TopicSpec("out", partitions=8, key="v")
    got = written(target, work([0, 1], ["a", "b"]), rows(["x", "y"]), [0, 1])
    assert {r["v"]: p for p, r in got} == dict(zip("xy", assign(pa.array(["x", "y"]), 8).tolist(), strict=True))
    assert all("_key" not in r for _, r in got)


def test_ordinals_go_on_over_all_outputs_to_a_topic() -> None:
    source = TopicSpec("in", pa.schema([("who", pa.string())]), 4, key="who")
    emitter = Emitter("s", "in", "code", {"in": source, "out": TopicSpec("out", partitions=4)})
    once = Output("out", rows([1, 2]), np.array([0, 0], np.int64))
    writes = emitter.writes(work([0], ["a"]), Outcome([once, once]))
    assert [o for w in writes for o in w.rows.column("_ordinal").to_pylist()] == [0, 1, 2, 3]
