"""ps.Event: what a function is told of an event is what every reader of the log sees of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.stages.stack import stack

from penstock.batch import Lineage, event_ids
from penstock.schema.encode import to_dicts
from penstock.stages import envelope
from penstock.stages.interface import Work

APP = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("shop")

@dataclass
class Order:
    n: int
    who: str | None = None

@dataclass
class Seen:
    n: int
    id: str
    type: str
    source: str
    subject: str | None
    time: str
    key: str | None
    topic: str
    partition: int
    offset: int

orders = app.topic("orders", Order, key="who", partitions=2)
again = app.topic("again", Order, partitions=2)
seen = app.topic("seen", Seen, partitions=2)
last = app.topic("last", Seen, partitions=2)

@app.on(orders, to=again)
def twice(order: Order) -> list[Order]:
    return [order, order]

def told(event: ps.Event[Order]) -> Seen:
    return Seen(event.data.n, event.id, event.type, event.source, event.subject, event.time.isoformat(), event.key,
                event.topic, event.partition, event.offset)

@app.on(orders, to=seen)
def first(event: ps.Event[Order]) -> Seen | None:
    if event.data.n == 13:
        raise ps.Reject("unlucky")
    return told(event)

@app.on(again, to=last)
def second(event: ps.Event[Order]) -> Seen:
    return told(event)
"""
SPOKEN = datetime(2020, 2, 29, 12, tzinfo=UTC)


def as_read(built: Any, topic: str) -> dict[str, dict[str, Any]]:
    """What the HTTP door says of each event, by its id."""
    spec = built.plan.topic(topic)
    return {row["id"]: row for batch in built.batches(topic) for row in to_dicts(batch, spec, "shop")}


@pytest.mark.parametrize("inline", [True, False])
def test_an_event_says_of_itself_what_every_reader_sees(tmp_path: Path, inline: bool) -> None:
    with stack(tmp_path, APP, inline=inline) as built:
        built.publish("orders", {"n": [1, 2, 13], "who": ["ann", None, "bob"]})
        given = {
            "_id": pa.array(["mine", None]),
            "_time": pa.array([SPOKEN, None], pa.timestamp("us", tz="UTC")),
            "_key": pa.array(["other", None]),
            "_source": pa.array(["/till", None]),
            "_type": pa.array(["order.placed", None]),
            "_subject": pa.array(["cash", None]),
        }
        built.publish("orders", {"n": [3, 4], "who": ["cat", "dan"]} | given, partition=1)
        told = built.wait_for("seen", 4) + built.wait_for("last", 10)
        (dead,) = built.wait_for("penstock.dead", 1)
        read = {t: as_read(built, t) for t in ("orders", "again")}
    for row in told:
        same = read[row["topic"]][row["id"]]
        assert datetime.fromisoformat(row["time"]) == datetime.fromisoformat(same["time"])
        assert row["n"] == same["data"]["n"]
        for name in ("type", "source", "key", "partition", "offset"):
            assert row[name] == same[name], name
        assert row["subject"] == same.get("subject")
    assert {row["id"] for row in told} == {*read["orders"], *read["again"]} - {dead["id"]}
    mine = next(row for row in told if row["id"] == "mine")
    assert (mine["key"], mine["type"], mine["source"], mine["subject"]) == ("other", "order.placed", "/till", "cash")
    assert datetime.fromisoformat(mine["time"]) == SPOKEN
    assert dead["id"] in read["orders"]


def test_ids_without_the_rows_origin_would_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Work.batch
    monkeypatch.setattr(Work, "batch", lambda work, partition: replace(whole(work, partition), origin=None))
    with pytest.raises(KeyError, match="again/"):
        test_an_event_says_of_itself_what_every_reader_sees(tmp_path, inline=True)


def test_rows_of_several_partitions_keep_their_places(new_rig: Any) -> None:
    rig = new_rig()
    rig.publish(range(20))
    batches = rig.log.reader(None, ["in"], "look").read(100, 0.0)
    work = Work.of(batches)
    assert envelope.ids(work) == [i for b in batches for i in event_ids(b).to_pylist()]
    mixed = np.array([19, 0, 7, 12, 3], np.int64)
    everything = envelope.ids(work)
    assert envelope.ids(work.take(mixed)) == [everything[i] for i in mixed]


def test_origins_go_with_the_rows() -> None:
    made = Lineage("s", "t", "code")
    rows = pa.record_batch({"_parent_partition": pa.array([0], pa.int32()), "_parent": pa.array([5], pa.int64())})
    one = np.array([7], np.int64)
    work = Work("t", rows, np.zeros(1, np.int32), one, one, {0: made})
    assert envelope.ids(work) == envelope.ids(work.take(np.zeros(1, np.int64)))
    assert envelope.ids(work)[0] != "t/0/7"
