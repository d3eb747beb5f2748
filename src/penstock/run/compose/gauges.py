"""What is not counted but looked up, as metrics: how late groups are, and where aliases point."""

from __future__ import annotations

from collections.abc import Sequence

from ...clock import Clock
from ...errors import LogError
from ...log.interface import GroupState, LogInspection
from ...models.registry import Registry
from ...telemetry import logger
from ...telemetry.metrics import gauge
from .scaling import Scaling

PLACE = ("topic", "partition", "group")

LAG_EVENTS = gauge("consumer_lag_events", "Events a group has not dealt with yet", *PLACE)
LAG_SECONDS = gauge("consumer_lag_seconds", "Age of the oldest event not dealt with", *PLACE)
MODEL_INFO = gauge("model_info", "A version and its alias", "model", "version", "alias", "digest")

log = logger(__name__)


class Gauges:
    """``why`` there was no answer to the last look, for any thread to read; empty: there was one."""

    def __init__(self, log: LogInspection, registry: Registry, clock: Clock, mark: str = "") -> None:
        self._log, self._registry = log, registry
        self._scaling = Scaling(clock, mark)
        self.why = ""

    def look(self) -> Sequence[GroupState] | None:
        """How far every group is. None: there was no answer; they stay as they are, which is told once."""
        try:
            states = self._log.groups()
            self._show_lag(states)
            self._look_at_models()
        except (LogError, OSError) as error:  # of the second kind: no file may be opened, and later perhaps one may
            if not self.why:
                log.warning("the log does not say how far groups are, metrics stand still", reason=str(error))
            self.why = str(error)
            return None
        self.why = ""
        return states

    def _show_lag(self, states: Sequence[GroupState]) -> None:
        self._scaling.observe(states)
        for state in states:
            place = (state.topic, str(state.partition), state.group)
            LAG_EVENTS.labels(*place).set(state.lag_events)
            LAG_SECONDS.labels(*place).set(state.lag_seconds)

    def _look_at_models(self) -> None:
        """One series for each alias of each model; where it pointed before falls to 0."""
        self._registry.refresh()
        for name in self._registry.models():
            for alias in self._registry.aliases(name):
                for version in self._registry.versions(name):
                    labels = (name, str(version.version), alias.alias, version.digest)
                    MODEL_INFO.labels(*labels).set(1 if version.version == alias.version else 0)
        with self._registry.view.lock:
            self._scaling.decide(self._registry.state)
