"""``penstock.retry``, the ladder: a partition is a rung, so the head of each is the next that is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...batch import RETRY, Batch, TopicSpec, event_ids
from ...destinations.interface import Answer
from ..envelope import times_of
from ..failures.dead import exactly
from ..interface import Output
from .attempts import RUNGS_S

RETRY_TOPIC = TopicSpec(
    RETRY,
    pa.schema(
        [
            pa.field("subscription", pa.string(), nullable=False),
            pa.field("topic", pa.string(), nullable=False),
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("published", pa.int64(), nullable=False),
            pa.field("attempts", pa.int32(), nullable=False),
            pa.field("tried", pa.int64(), nullable=False),
            pa.field("outcome", pa.string(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("given_up", pa.string()),
            pa.field("event", pa.binary(), nullable=False),
        ]
    ),
    partitions=len(RUNGS_S),
)
"""``topic`` to ``offset``: where the event lies. ``published``: when it was appended there, and ``tried``: when the
last attempt began, in microseconds since the epoch. ``outcome`` and ``reason``: of that attempt. ``given_up``: why no
other follows. ``event``: exactly as it was stored, see ``failures.dead``."""


@dataclass(frozen=True, slots=True)
class WaitingDelivery:
    """One event of one subscription, on a rung."""

    subscription: str
    topic: str
    partition: int
    offset: int
    id: str
    published: int
    attempts: int
    tried: int
    outcome: str
    reason: str
    given_up: str | None
    event: bytes


def waiting_of(
    subscription: str, batch: Batch, rows: Sequence[int], answer: Answer, attempts: int, given_up: str | None
) -> list[WaitingDelivery]:
    """Events of a batch whose first attempt came to nothing."""
    chosen = np.array(rows, np.int64)
    ids = event_ids(batch).take(pa.array(chosen)).to_pylist()
    appended = batch.appended[chosen]
    events = exactly(
        batch.rows.take(pa.array(chosen)), ids, times_of(batch.rows, batch.appended).take(pa.array(chosen))
    )
    return [
        WaitingDelivery(
            subscription, batch.topic, batch.partition, int(at), id, int(when), attempts, answer.began,
            answer.outcome, answer.reason, given_up, event,
        )
        for at, id, when, event in zip(batch.positions[chosen], ids, appended, events, strict=True)
    ]  # fmt: skip


def waiting_rows(waiting: Sequence[WaitingDelivery]) -> pa.RecordBatch:
    columns = [pa.array([getattr(each, field.name) for each in waiting], field.type) for field in RETRY_TOPIC.schema]
    return pa.RecordBatch.from_arrays(columns, schema=RETRY_TOPIC.schema)


def on_rungs(waiting: Sequence[WaitingDelivery], rungs: Sequence[int], parents: Sequence[int] | None = None) -> Output:
    made_of = None if parents is None else np.array(parents, np.int64)
    return Output(RETRY, waiting_rows(waiting), made_of, partitions=np.array(rungs, np.int32))


def read_waiting(rows: pa.RecordBatch) -> list[WaitingDelivery]:
    names = RETRY_TOPIC.schema.names
    return [WaitingDelivery(*each) for each in zip(*(rows.column(name).to_pylist() for name in names), strict=True)]
