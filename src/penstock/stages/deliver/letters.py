"""Deliveries that were given up, as dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ...batch import DEAD, column, data_columns
from ...telemetry.metrics import counter
from ..failures.dead import DEAD_TOPIC, LONG, as_json, clipped, event_of
from ..interface import Output
from .retry import WaitingDelivery

# counted when that is found: a member that ends before its commit is followed by one that finds it again
GIVEN_UP = counter("deliveries_given_up", "Events of subscriptions that became dead letters", "reason")


def letters(given_up: Sequence[tuple[WaitingDelivery, str]], parents: Sequence[int]) -> Output:
    """``given_up``: each with the reason, in Event Grid's words. ``parents``: the rows of the work that they were."""
    for _, why in given_up:
        GIVEN_UP.labels(why).inc()
    rows = [_letter(waiting, why) for waiting, why in given_up]
    made = pa.RecordBatch.from_pylist(rows, schema=DEAD_TOPIC.schema)
    return Output(DEAD, made, np.array(parents, np.int64))


def _letter(waiting: WaitingDelivery, why: str) -> dict[str, Any]:
    event = event_of(waiting.event)
    envelope = {
        name: column(event, f"_{name}")[0].as_py() for name in ("key", "source", "type", "subject", "extensions")
    }
    return envelope | {
        "topic": waiting.topic,
        "partition": waiting.partition,
        "offset": waiting.offset,
        "stage": waiting.subscription,
        "error": why,
        "reason": clipped(f"{waiting.outcome}: {waiting.reason}" if waiting.reason else waiting.outcome),
        "traceback": "",
        "attempts": waiting.attempts,
        "id": waiting.id,
        "time": column(event, "_time")[0].as_py(),
        "data": as_json(data_columns(event))[0] if len(waiting.event) <= LONG else "",
        "event": waiting.event,
        "outcome": waiting.outcome,
        "published": waiting.published,
        "tried": waiting.tried,
    }
