"""Deliveries put back: a dead letter of a subscription goes onto the ladder again, for that subscription alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ...batch import RETRY, Batch, Indices
from ..failures.dead import event_of
from ..failures.ledger import column_of
from ..interface import Failure, Work
from ..redrive import Redrive, RedriveBatch
from .retry import WaitingDelivery, waiting_rows


class Redelivery(Redrive):
    """``Redrive`` of the ladder, for all subscriptions: the row of the source is one of the ladder's own. What is put
    back has all attempts and all of its time before it again."""

    def _asked(self, batch: Batch, rows: Indices) -> RedriveBatch:
        letters, now = batch.rows.take(pa.array(rows)), self._clock.now()
        failures: dict[int, Failure] = {}
        waiting: list[WaitingDelivery] = []
        readable: list[int] = []
        names = ("stage", "topic", "partition", "offset", "id")
        columns = [*(letters.column(name).to_pylist() for name in names), column_of(letters, "event").to_pylist()]
        for row, (subscription, topic, partition, offset, id, event) in enumerate(zip(*columns, strict=True)):
            try:
                event_of(event or b"")
            except ValueError as error:
                failures[row] = Failure(row, "CannotRedrive", f"its event cannot be read: {error}", "", 1)
            else:
                waiting.append(
                    WaitingDelivery(
                        subscription, topic, partition, offset, id, now, 0, 0, "", "", given_up=None, event=event
                    )
                )
                readable.append(row)
        chosen = np.array(readable, np.int64)
        asked = RedriveBatch(batch.partition, batch.through, letters, batch.positions[rows], None, chosen, failures)
        if waiting:
            places = (letters.column(name).to_numpy()[chosen] for name in ("partition", "offset"))
            partitions, positions = places
            asked.work = Work(
                RETRY, waiting_rows(waiting), partitions, positions, batch.appended[rows][chosen], again=True
            )
        return asked
