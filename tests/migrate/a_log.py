"""A log with everything in it that a migration has to take along, and what its readers see of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.batch import DEAD, SYSTEM, Lineage, Positions, TopicSpec, Write
from penstock.log.interface import Advance, GroupState, Seek
from penstock.models.artifacts import Artifacts
from penstock.models.messages import Activated, Promoted, Register, Registered
from penstock.run.compose.backends import AppLog
from penstock.run.compose.bootstrap import SYSTEM_TOPIC
from penstock.schema.encode import to_dicts
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.stages.redrive import group_of
from penstock.system.messages import to_rows

READING = pa.schema(
    [
        pa.field("n", pa.int64(), nullable=False),
        pa.field("x", pa.float64()),
        pa.field("name", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("tags", pa.list_(pa.string())),
    ]
)
READINGS = TopicSpec("readings", READING, 2, "n", retain_us=86_400_000_000, dedupe_us=600_000_000, encoding="json")
FEATURES = TopicSpec("features", pa.schema([("n", pa.int64()), ("z", pa.float32())]), 2, retain_bytes=1 << 30)
LOOP = TopicSpec("loop", pa.schema([("n", pa.int64())]), 1)
TOPICS = [SYSTEM_TOPIC, DEAD_TOPIC, READINGS, FEATURES, LOOP]
PREPARE = Lineage("prepare", "readings", "c0de")
TURN = Lineage("turn", "loop", "c0de", "delay", 1)

Seen = dict[tuple[str, int], list[dict[str, Any]]]


def fill(log: AppLog, artifacts: Artifacts, events: int = 40) -> None:
    for topic in TOPICS:
        log.create(topic)
    positions = {p: published(log, p, events) for p in range(2)}
    for p, parents in positions.items():
        log.append([Write("features", p, features(p, parents), PREPARE)])
    _feed_back(log, 6)
    _add_dead_letters(log, positions[0])
    _register(log, artifacts, positions[1])
    _deal(log)


def published(log: AppLog, partition: int, events: int) -> Positions:
    """In several appends, with a little of everything in the envelope."""
    found: list[Positions] = []
    for start in range(0, events, 7):
        ns = list(range(start, min(start + 7, events)))
        rows: dict[str, Any] = {
            "n": pa.array(ns, pa.int64()),
            "x": pa.array([None if n % 5 == 0 else n / 3 for n in ns], pa.float64()),
            "name": pa.array([None if n % 4 == 0 else f"näme {n}" for n in ns], pa.string()),
            "at": pa.array([datetime(2026, 1, 2, 3, 4, 5, n, UTC) for n in ns], pa.timestamp("us", tz="UTC")),
            "tags": pa.array([["a"] * (n % 3) for n in ns], pa.list_(pa.string())),
            "_id": pa.array([None if n % 2 else f"id-{partition}-{n}" for n in ns], pa.string()),
            "_time": pa.array([None if n % 3 else datetime(2025, 6, 1, tzinfo=UTC) for n in ns], _TIME),
            "_key": pa.array([None if n % 6 else "by hand" for n in ns], pa.string()),
            "_source": pa.array([None if n % 4 else "/elsewhere" for n in ns], pa.string()),
            "_extensions": pa.array([None if n % 9 else '{"trace":"t1","level":3}' for n in ns], pa.string()),
        }
        fields = [*READING, *(pa.field(n, a.type) for n, a in rows.items() if n.startswith("_"))]
        (span,) = log.append(
            [Write("readings", partition, pa.RecordBatch.from_arrays(list(rows.values()), schema=pa.schema(fields)))]
        )
        found.append(span.positions)
    return np.concatenate(found)


def features(partition: int, parents: Positions) -> pa.RecordBatch:
    """Two of each third parent, none of the others' next."""
    chosen = np.concatenate([parents[::3], parents[::3]])
    chosen.sort()
    return pa.record_batch(
        {
            "n": pa.array(np.arange(len(chosen))),
            "z": pa.array(np.arange(len(chosen)) / 7, pa.float32()),
            "_parent_partition": pa.array([partition] * len(chosen), pa.int32()),
            "_parent": pa.array(chosen),
            "_ordinal": pa.array([i % 2 for i in range(len(chosen))], pa.int32()),
        }
    )


def _feed_back(log: AppLog, turns: int) -> None:
    """Each event of ``loop`` is made of the one before; the first was published."""
    (span,) = log.append([Write("loop", 0, pa.record_batch({"n": pa.array([0])}))])
    for n in range(1, turns):
        parent = {"_parent_partition": pa.array([0], pa.int32()), "_parent": pa.array([span.last])}
        (span,) = log.append([Write("loop", 0, pa.record_batch({"n": pa.array([n])} | parent), TURN)])


def _add_dead_letters(log: AppLog, parents: Positions) -> None:
    rows = {
        "topic": ["readings"] * 2,
        "partition": pa.array([0, 0], pa.int32()),
        "offset": pa.array(parents[[3, 11]]),
        "stage": ["prepare"] * 2,
        "error": ["ValueError"] * 2,
        "reason": ["no", "no more"],
        "traceback": ["", "line 1\nline 2"],
        "attempts": pa.array([1, 3], pa.int32()),
        "id": ["a", "b"],
        "key": [None, "k"],
        "time": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2, _TIME),
        "data": ["{}", '{"n":11}'],
    }
    fields = [DEAD_TOPIC.schema.field(name) for name in rows]  # as before letters held the event itself
    arrays = [v if isinstance(v, pa.Array) else pa.array(v, f.type) for f, v in zip(fields, rows.values(), strict=True)]
    lineage = [pa.array([0, 0], pa.int32()), pa.array(parents[[3, 11]])]
    schema = pa.schema([*fields, ("_parent_partition", pa.int32()), ("_parent", pa.int64())])
    log.append([Write(DEAD, 1, pa.RecordBatch.from_arrays([*arrays, *lineage], schema=schema), PREPARE)])


def _register(log: AppLog, artifacts: Artifacts, parents: Positions) -> None:
    """A model's life: asked for, registered, promoted, in use from an event on."""
    digest = artifacts.put(b"a model")
    command = Register(id="seed", name="delay", digest=digest)
    (asked,) = log.append([Write(SYSTEM, 0, to_rows([command]))])
    nothing: dict[str, Any] = {"inputs": [], "outputs": []}
    made = Registered(
        model="delay", version=1, digest=digest, runtime="onnx", signature=nothing, created=1, causationid="seed"
    )
    moved = Promoted(model="delay", alias="champion", from_version=None, to_version=1, epoch=1, causationid="seed")
    lineage = {
        "_parent_partition": pa.array([0, 0], pa.int32()),
        "_parent": pa.array([asked.last] * 2),
        "_ordinal": pa.array([0, 1], pa.int32()),
    }
    registry = Lineage("penstock.registry", SYSTEM, "c0de")
    log.append([Write(SYSTEM, 0, with_lineage(to_rows([made, moved]), lineage), registry)])
    at = int(parents[5])
    active = Activated(
        stage="prepare", topic="readings", partition=1, from_offset=at, model="delay", version=1, epoch=1
    )
    lineage = {"_parent_partition": pa.array([1], pa.int32()), "_parent": pa.array([at])}
    log.append([Write(SYSTEM, 0, with_lineage(to_rows([active]), lineage), PREPARE)])


def with_lineage(rows: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    return rows


def _deal(log: AppLog) -> None:
    """One group in the middle of a batch, and behind the first dead letter; one through with everything; one at the
    beginning; one at the end."""
    with closing(log.reader("prepare", ["readings"], "m")) as reader:
        left = 11
        while left and (batches := reader.read(left, 1.0)):
            done = [Advance(b.topic, b.partition, int(b.positions[-1])) for b in batches]
            reader.commit(done, [])
            left -= sum(map(len, batches))
    with closing(log.reader(group_of("prepare"), [DEAD], "m")) as reader:
        (batch,) = reader.read(1, 1.0)
        reader.commit([Advance(DEAD, batch.partition, batch.through)], [])
    with closing(log.reader("through", ["features", "loop"], "m")) as reader:
        while batches := reader.read(100, 0.0):
            reader.commit([Advance(b.topic, b.partition, b.through) for b in batches], [])
    with closing(log.reader("beginning", ["features"], "m")) as reader:
        reader.seek(Seek("features", None, "earliest"))
    log.reader("end", ["loop"], "m", start="latest").close()


# -- what readers see ---------------------------------------------------------


def seen(log: AppLog) -> Seen:
    """Every event as the doors show it; positions as what they stand for."""
    found: Seen = {}
    at: dict[tuple[str, int, int], str] = {}
    for spec in log.topics():
        with closing(log.reader(None, [spec.name], "look")) as reader:
            while batches := reader.read(1_000, 0.0):
                for batch in batches:
                    for event in to_dicts(batch, spec, "app"):
                        at[spec.name, batch.partition, event.pop("offset")] = event["id"]
                        found.setdefault((spec.name, batch.partition), []).append(event)
    for place, events in found.items():
        for event in events:
            _resolve(place[0], event, at)
    return found


def _resolve(topic: str, event: dict[str, Any], at: dict[tuple[str, int, int], str]) -> None:
    if (parent := event.get("parent")) is not None:
        event["parent"] = at.get((parent["topic"], parent["partition"], parent["offset"]), "gone")
    for name, value in event.get("extensions", {}).items():
        event["extensions"][name] = str(value)
    data = event["data"]
    if topic == DEAD:
        data["offset"] = at.get((data["topic"], data["partition"], data["offset"]), "gone")
    if topic == SYSTEM and "from_offset" in data:
        data["from_offset"] = at.get((data["topic"], data["partition"], data["from_offset"]), "gone")


def next_of_groups(log: AppLog) -> dict[tuple[str, str, int], str | None]:
    """The id of the first event that each group has not dealt with, of those that have dealt with any: a group at the
    beginning may have a position or none."""
    found: dict[tuple[str, str, int], str | None] = {}
    specs = {spec.name: spec for spec in log.topics()}
    for state in [s for s in log.groups() if s.through is not None]:
        places = [_first(log, group, state, specs) for group in (state.group, None)]
        if places[0] != places[1]:
            found[state.group, state.topic, state.partition] = places[0]
    return found


def _first(log: AppLog, group: str | None, state: GroupState, specs: dict[str, TopicSpec]) -> str | None:
    with closing(log.reader(group, [state.topic], "look")) as reader:
        batches = [b for b in reader.read(1_000, 0.0) if b.partition == state.partition]
        return to_dicts(batches[0].slice(0, 1), specs[state.topic], "app")[0]["id"] if batches else None


def declared(log: AppLog) -> dict[str, TopicSpec]:
    return {spec.name: replace(spec) for spec in log.topics()}


_TIME = pa.timestamp("us", tz="UTC")
