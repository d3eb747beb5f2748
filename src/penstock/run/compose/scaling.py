"""How many workers each stage needs, from what is measured anyway; see ``stages.scaling``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ...clock import Clock
from ...log.interface import GroupState
from ...models.decide import RegistryState
from ...stages.metrics import CAPACITY, CONSUMED
from ...stages.scaling import PartitionLag, StageLoad, StageWindow
from ...telemetry.metrics import by_stage, gauge

WINDOW_S = 15.0  # seconds

USED = gauge("capacity_used_ratio", "Of what this host's workers can deal with", "stage")
WANTED = gauge("wanted_workers", "What the rate and the lag need, this host's share", "stage")
LOAD = gauge("scale_load", "What wanted_workers was derived from", "stage", "what")  # ``what``: a field of StageLoad


class Scaling:
    """What one gateway knows of the stages: of its own host's workers what they do, of the log how late they are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: Sequence[GroupState] = ()
        self._began: float | None = None
        self._dealt_with: dict[str, float] = {}
        self._windows: dict[str, StageWindow] = {}
        self._epochs: dict[tuple[str, str], int] = {}

    def observe(self, states: Sequence[GroupState]) -> None:
        """How late every group is now."""
        self._states = states

    def decide(self, models: RegistryState) -> None:
        """At the end of each window; in between nothing changes."""
        now = self._clock.monotonic()
        if self._began is not None and now < self._began + WINDOW_S:
            return
        dealt_with, able = by_stage(CONSUMED), by_stage(CAPACITY)
        rolling = self._rolling_out(models)
        if self._began is not None:
            for stage, capacity in able.items():
                done = dealt_with.get(stage, 0.0) - self._dealt_with.get(stage, 0.0)
                self._say(stage, done, now - self._began, capacity, stage in rolling)
        self._began, self._dealt_with = now, dealt_with

    def _say(self, stage: str, done: float, seconds: float, capacity: float, rolling: bool) -> None:
        states = [state for state in self._states if state.group == stage]
        owners = {state.owner for state in states if state.owner is not None}
        hosts = max(len({owner.rpartition("@")[2] for owner in owners if "@" in owner}), 1)
        partitions = {
            (s.topic, s.partition): PartitionLag(s.through, s.lag_events, s.lag_seconds, s.owner is None)
            for s in states
        }
        window = self._windows.setdefault(stage, StageWindow())
        load = window.load(partitions, done, seconds, capacity, hosts)
        WANTED.labels(stage).set(window.wanted(load, rolling_out=rolling))
        workers = max(len(owners) / hosts, 1.0)
        USED.labels(stage).set(load.rate / (capacity * workers) if capacity else 0.0)
        for what, value in asdict(load).items():
            LOAD.labels(stage, what).set(value)

    def _rolling_out(self, models: RegistryState) -> set[str]:
        """Stages that have events to score and another version than their alias points to; and all of a model whose
        alias has just moved: the next version may still be loading."""
        late = {(state.group, state.topic, state.partition) for state in self._states if state.lag_events}
        epochs = {key: alias.epoch for key, alias in models.aliases.items()}
        moved = {key for key, epoch in epochs.items() if self._epochs.get(key, epoch) != epoch}
        self._epochs = epochs
        return {
            active.stage
            for place, active in models.activations.items()
            if (key := (active.model, active.alias)) in moved
            or (place in late and key in models.aliases and models.aliases[key].version != active.version)
        }


def load_of(said: dict[str, float]) -> StageLoad:
    """From the values of the metric ``LOAD``, by what they are."""
    return StageLoad(
        said["rate"],
        said["capacity"],
        int(said["lag"]),
        said["late"],
        int(said["partitions"]),
        int(said["held"]),
    )
