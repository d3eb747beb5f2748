"""Events of one topic that go on to another: exactly once, since both are in the log."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..batch import TopicSpec, data_columns
from ..filters.columns import EventColumns
from ..filters.interface import Predicate
from ..schema.evolution import conform
from .interface import Outcome, Output, Work


class Forward:
    """``Stage`` of a subscription whose target is a topic of the same app. ``predicate``: None passes every event."""

    def __init__(self, name: str, source: TopicSpec, target: TopicSpec, app: str, predicate: Predicate | None) -> None:
        self.name, self.source = name, source.name
        self._from, self._to, self._app, self._predicate = source, target, app, predicate

    def handle(self, work: Work) -> Outcome:
        passing = np.flatnonzero(self._mask(work))
        if not len(passing):
            return Outcome()
        rows = conform(data_columns(work.rows).take(pa.array(passing)), self._to.schema)
        return Outcome([Output(self._to.name, rows, passing)])

    def _mask(self, work: Work) -> npt.NDArray[np.bool_]:
        mask = np.ones(len(work), np.bool_)
        if self._predicate is not None:
            for partition in np.unique(work.partitions).tolist():
                mine = np.flatnonzero(work.partitions == partition)
                mask[mine] = self._predicate.mask(EventColumns(work.batch(partition), self._from, self._app))
        return mask
