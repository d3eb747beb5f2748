"""What a stage's passes come to, as metrics."""

from __future__ import annotations

from ..telemetry.metrics import counter, gauge, histogram
from .batch_size import BatchSize
from .scaling import capacity

USUAL_S = 1.0  # seconds of a pass, up to which none is left out of the fit as an exception

CONSUMED = counter("events_consumed", "Events a stage has dealt with", "stage", "topic")
PRODUCED = counter("events_produced", "Events a stage has made", "stage", "topic")
LATENCY = histogram("event_latency_seconds", "From append to output commit", "stage")
DEAD_LETTERS = counter("dead_letters", "Events dead-lettered", "stage", "topic")
# ``kind``: sick, positions held; fenced, partitions lost; overtaken, by retention.
SETBACKS = counter("setbacks", "Passes of a stage that came to nothing", "stage", "kind")
CAPACITY = gauge("capacity_events_per_second", "What one worker can deal with", "stage")


class StageMeasure:
    """``pump.Measure`` for one stage. ``rows``: of one pass, at most."""

    def __init__(self, stage: str, topic: str, rows: int) -> None:
        self._stage, self._topic, self._rows = stage, topic, rows
        self._passes = BatchSize(USUAL_S, rows)
        self._events = 0
        self._warm = False  # the first pass makes much that the others find made

    def __call__(self, name: str, value: float) -> None:
        match name:
            case "events":
                CONSUMED.labels(self._stage, self._topic).inc(value)
                self._events = int(value)
            case "made":
                PRODUCED.labels(self._stage, self._topic).inc(value)
            case "dead":
                DEAD_LETTERS.labels(self._stage, self._topic).inc(value)
            case "latency":
                LATENCY.labels(self._stage).observe(value)
            case "sick" | "fenced" | "overtaken":
                SETBACKS.labels(self._stage, name).inc(value)
            case "pass":
                self._passed(value)

    def _passed(self, seconds: float) -> None:
        if not self._warm:
            self._warm = True
        elif self._events:
            self._passes.observe(self._events, seconds)
            able = capacity(*self._passes.fit(), self._rows)
            CAPACITY.labels(self._stage).set(able)
