"""Which events go to which subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...batch import Batch, Indices, TopicSpec
from ...declare.planning.where import holds
from ...filters.columns import EventColumns
from ...filters.index import Matcher
from ...filters.interface import Predicate
from ...schema.egress.render import Format
from ..system_events import as_messages, rows_of, told


class FilterRouting:
    """``Routing`` by a predicate a subscription; None: every event. One thread's."""

    def __init__(self, topic: TopicSpec, app: str, predicates: Sequence[Predicate | None]) -> None:
        self._topic, self._app, self._predicates = topic, app, dict(enumerate(predicates))
        self._matcher = Matcher(predicates)

    def add(self, subscription: int, wanted: Predicate | None) -> None:
        self._predicates[subscription] = wanted
        self._matcher.add(subscription, wanted)

    def remove(self, subscription: int) -> None:
        del self._predicates[subscription]
        self._matcher.remove(subscription)

    def match(self, batch: Batch) -> tuple[Indices, Indices]:
        return self._matcher.match(EventColumns(batch, self._topic, self._app))

    def only(self, subscription: int, batch: Batch) -> Indices:
        if (predicate := self._predicates[subscription]) is None:
            return np.arange(len(batch), dtype=np.int64)
        return np.flatnonzero(predicate.mask(EventColumns(batch, self._topic, self._app)))


@dataclass(frozen=True, slots=True)
class SystemSelection:
    """Which system events a subscription wants: those of one type, ``event``, for which ``where`` holds, a condition
    over the fields of their class, and ``filter``, which sees them as they are delivered in ``format``."""

    event: str
    where: str | None = None
    filter: Predicate | None = None
    format: Format = "cloudevents"


class SystemRouting:
    """``Routing`` of system events. There are few of them, and of those who want them. ``app``: whose they are."""

    def __init__(self, app: str, wanted: Sequence[SystemSelection]) -> None:
        self._app, self._wanted = app, dict(enumerate(wanted))

    def add(self, subscription: int, wanted: SystemSelection) -> None:
        self._wanted[subscription] = wanted

    def remove(self, subscription: int) -> None:
        del self._wanted[subscription]

    def match(self, batch: Batch) -> tuple[Indices, Indices]:
        found = {subscription: self.only(subscription, batch) for subscription in self._wanted}
        whose = [np.full(len(rows), subscription, np.int64) for subscription, rows in found.items()]
        none = np.zeros(0, np.int64)
        return np.concatenate([none, *found.values()]), np.concatenate([none, *whose])

    def only(self, subscription: int, batch: Batch) -> Indices:
        wanted = self._wanted[subscription]
        rows = rows_of(wanted.event, batch.rows)
        if wanted.where is not None and len(rows):
            texts = as_messages(wanted.event, batch.rows.take(pa.array(rows))).column("json")
            rows = rows[holds(wanted.where, wanted.event, texts)]
        if wanted.filter is not None and len(rows):
            events = told(batch.take(rows), wanted.event, wanted.format, self._app)
            rows = rows[wanted.filter.mask(EventColumns(events, TopicSpec(batch.topic), self._app))]
        return rows
