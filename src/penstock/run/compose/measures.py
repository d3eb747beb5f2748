"""What stages measure, as metrics."""

from __future__ import annotations

from functools import cache

from ...errors import LogError
from ...log.interface import LogInspection
from ...models.interface import ModelVersion
from ...models.registry import Registry
from ...stages.batch_size import BatchSize
from ...stages.scaling import capacity
from ...telemetry import logger, metrics
from .scaling import Scaling

USUAL_S = 1.0  # seconds of a pass, up to which none is left out of the fit as an exception

log = logger(__name__)


class StageMeasure:
    """``stages.pump.Measure`` for one stage. ``rows``: of one pass, at most."""

    def __init__(self, stage: str, topic: str, rows: int) -> None:
        self._stage, self._topic, self._rows = stage, topic, rows
        self._passes = BatchSize(USUAL_S, rows)
        self._events = 0
        self._warm = False  # the first pass makes much that the others find made

    def __call__(self, name: str, value: float) -> None:
        stage_measure(self._stage, self._topic, name, value)
        if name == "events":
            self._events = int(value)
        elif name == "pass" and not self._warm:
            self._warm = True
        elif name == "pass" and self._events:
            self._passes.observe(self._events, value)
            able = capacity(*self._passes.fit(), self._rows)
            metrics().capacity_events_per_second.labels(self._stage).set(able)


def stage_measure(stage: str, topic: str, name: str, value: float) -> None:
    counted = metrics()
    match name:
        case "events":
            counted.events_consumed.labels(stage, topic).inc(value)
        case "made":
            counted.events_produced.labels(stage, topic).inc(value)
        case "dead":
            counted.dead_letters.labels(stage, topic).inc(value)
        case "latency":
            counted.event_latency_seconds.labels(stage).observe(value)
        case "sick" | "fenced" | "overtaken":
            counted.setbacks.labels(stage, name).inc(value)


def observed(version: ModelVersion, rows: int, seconds: float | None) -> None:
    """``stages.scoring.call_batcher.Observe``. A call without rows only loads the model."""
    if rows == 0:
        return
    counted, labels = metrics(), (version.name, str(version.version), version.runtime)
    if seconds is None:
        counted.score_errors.labels(*labels).inc()
        return
    counted.score_duration_seconds.labels(*labels).observe(seconds)
    counted.score_batch_rows.labels(*labels).observe(rows)


def load_failed(version: ModelVersion) -> None:
    """``stages.deployment.Failed``."""
    metrics().model_load_errors.labels(version.name, str(version.version), version.runtime).inc()


class Gauges:
    """What is not counted but looked up. ``why`` there was no answer to the last look, for any thread to read; empty:
    there was one."""

    def __init__(self, log: LogInspection, registry: Registry) -> None:
        self._log, self._registry = log, registry
        self.why = ""

    def look(self) -> None:
        """Without an answer they stay as they are, which is told once: the next may come."""
        try:
            gauge_lag(self._log)
            gauge_models(self._registry)
        except (LogError, OSError) as error:  # of the second kind: no file may be opened, and later perhaps one may
            if not self.why:
                log.warning("the log does not say how far groups are, metrics stand still", reason=str(error))
            self.why = str(error)
        else:
            self.why = ""


def gauge_lag(events: LogInspection) -> None:
    counted, states = metrics(), events.groups()
    _scaling().observe(states)
    for state in states:
        place = (state.topic, str(state.partition), state.group)
        counted.consumer_lag_events.labels(*place).set(state.lag_events)
        counted.consumer_lag_seconds.labels(*place).set(state.lag_seconds)


def gauge_models(registry: Registry) -> None:
    """One series for each alias of each model; where it pointed before falls to 0."""
    registry.refresh()
    counted = metrics()
    for name in registry.models():
        for alias in registry.aliases(name):
            for version in registry.versions(name):
                labels = (name, str(version.version), alias.alias, version.digest)
                counted.model_info.labels(*labels).set(1 if version.version == alias.version else 0)
    with registry.view.lock:
        _scaling().decide(registry.state)


@cache
def _scaling() -> Scaling:
    """This process's, as its metrics are."""
    return Scaling()
