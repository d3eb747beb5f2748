"""What cannot be undone: a topic emptied, with another type, and a topic deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from penstock.batch import TopicSpec, Write
from penstock.errors import NotFound, PartitionsChanged, SchemaChanged
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance
from penstock.log.memory import MemoryLog

OLD = TopicSpec("t", pa.schema([pa.field("n", pa.int64(), nullable=False)]), 2)
NEW = TopicSpec("t", pa.schema([pa.field("word", pa.string(), nullable=False)]), 2)


@pytest.fixture(params=["memory", "embedded"])
def log(request: Any, tmp_path: Path) -> Iterator[Any]:
    opened: Any = MemoryLog() if request.param == "memory" else EmbeddedLog(tmp_path)
    yield opened
    opened.close()


def rows(*values: Any) -> pa.RecordBatch:
    schema = OLD.schema if isinstance(values[0], int) else NEW.schema
    return pa.RecordBatch.from_arrays([pa.array(values)], schema=schema)


def read(reader: Any) -> list[tuple[int, list[Any]]]:
    return [(b.partition, b.rows.column(0).to_pylist()) for b in reader.read(100, 0.0)]


def test_a_topic_begins_anew_with_another_type_and_positions_go_on(log: Any) -> None:
    log.create(OLD)
    log.append([Write("t", 0, rows(1, 2, 3)), Write("t", 1, rows(4))])
    reader = log.reader("g", ["t"], "m")
    batch = next(b for b in reader.read(100, 0.0) if b.partition == 0)
    reader.commit([Advance("t", 0, int(batch.positions[0]))], [])
    reader.close()
    end = log.ends("t")
    with pytest.raises(SchemaChanged):
        log.create(NEW)

    log.reset(NEW)
    assert log.ends("t") == end
    assert all((s.events, s.earliest, s.bytes) == (0, s.end, 0) for s in log.partitions("t"))
    log.create(NEW)
    (span,) = log.append([Write("t", 0, rows("a"))])
    assert span.first >= end[0], "a position was used twice"
    assert read(log.reader("g", ["t"], "m")) == [(0, ["a"])]
    assert read(log.reader(None, ["t"], "x")) == [(0, ["a"])]


def test_a_topic_that_is_deleted_is_gone_and_may_be_made_anew(log: Any) -> None:
    log.create(OLD)
    log.create(TopicSpec("other", OLD.schema, 1))
    log.append([Write("t", 0, rows(1, 2, 3)), Write("other", 0, rows(7))])
    reader = log.reader("g", ["t"], "m")
    batches = reader.read(100, 0.0)
    reader.commit([Advance("t", b.partition, b.through) for b in batches], [])
    reader.close()
    log.delete("t")
    assert [spec.name for spec in log.topics()] == ["other"]
    assert not [state for state in log.groups() if state.topic == "t"]
    changes: list[Callable[[], object]] = [
        lambda: log.delete("t"),
        lambda: log.reset(NEW),
        lambda: log.append([Write("t", 0, rows(1))]),
    ]
    for change in changes:
        with pytest.raises(NotFound):
            change()
    log.create(NEW)
    log.append([Write("t", 1, rows("a"))])
    assert read(log.reader("g", ["t"], "m")) == [(1, ["a"])]
    assert read(log.reader(None, ["other"], "x")) == [(0, [7])]


def test_a_reset_keeps_the_partitions(log: Any) -> None:
    log.create(OLD)
    with pytest.raises(PartitionsChanged):
        log.reset(TopicSpec("t", NEW.schema, 1))
    log.reset(TopicSpec("t", NEW.schema, 3))
    log.append([Write("t", 2, rows("a"))])
    assert read(log.reader(None, ["t"], "x")) == [(2, ["a"])]


def test_other_processes_see_a_reset_while_they_are_at_work(tmp_path: Path) -> None:
    one, other = EmbeddedLog(tmp_path), EmbeddedLog(tmp_path)
    one.create(OLD)
    reader = other.reader("g", ["t"], "m")
    one.append([Write("t", 0, rows(1, 2, 3))])
    (batch,) = reader.read(100, 0.0)
    reader.commit([Advance("t", 0, batch.through)], [])
    one.reset(NEW)
    with pytest.raises(SchemaChanged):
        other.append([Write("t", 0, rows(4))])
    one.append([Write("t", 0, rows("a"))])
    assert read(reader) == [(0, ["a"])]
    for each in (one, other):
        each.close()


def test_what_was_done_is_there_after_opening_again(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.create(OLD)
    log.create(TopicSpec("gone", OLD.schema, 3))
    log.append([Write("t", 0, rows(1)), Write("gone", 2, rows(1))])
    log.reset(NEW)
    log.delete("gone")
    log.close()
    log = EmbeddedLog(tmp_path)
    assert [(spec.name, spec.schema.names) for spec in log.topics()] == [("t", ["word"])]
    log.append([Write("t", 0, rows("a"))])
    assert read(log.reader(None, ["t"], "x")) == [(0, ["a"])]
    log.close()
