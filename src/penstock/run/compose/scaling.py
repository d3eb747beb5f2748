"""How many workers each stage needs, from what is measured anyway; see ``stages.scaling``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, fields

from ...clock import Clock
from ...log.interface import GroupState
from ...models.decide import RegistryState
from ...stages.metrics import CAPACITY, CONSUMED
from ...stages.scaling import PartitionLag, StageLoad, StageWindow
from ...telemetry.metrics import by_stage, gauge

WINDOW_S = 15.0  # seconds

USED = gauge("capacity_used_ratio", "Of what this run's workers can deal with", "stage")
WANTED = gauge("wanted_workers", "What the rate and the lag need, this run's share", "stage")
LOAD = gauge("scale_load", "What wanted_workers was derived from", "stage", "what")  # ``what``: a field of StageLoad


class Scaling:
    """What one run knows of the stages: of its own workers what they do, of the log how late they are.

    ``mark``: of its workers where several runs share the log, whose names there are ``worker-1.MARK@HOST``.
    """

    def __init__(self, clock: Clock, mark: str = "") -> None:
        self._clock, self._mark = clock, mark
        self._states: Sequence[GroupState] = ()
        self._began: float | None = None
        self._dealt_with: dict[str, float] = {}
        self._shares: dict[str, int] = {}  # how many runs have partitions of a stage
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
        runs = {run_of(owner) for owner in owners if "@" in owner}
        partitions = {
            (s.topic, s.partition): PartitionLag(s.through, s.lag_events, s.lag_seconds, s.owner is None)
            for s in states
        }
        window = self._windows.setdefault(stage, StageWindow())
        if runs:  # while partitions change hands nobody may have any
            self._shares[stage] = len(runs)
        shares = self._shares.get(stage, 1)
        if runs and self._mark and not any(run.startswith(self._mark) for run in runs):
            partitions = {}  # others have all of them, and answer for what they need
        load = window.load(partitions, done, seconds, capacity, shares)
        WANTED.labels(stage).set(window.wanted(load, rolling_out=rolling))
        workers = max(len(owners) / shares, 1.0)
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


def run_of(owner: str) -> str:
    """``MARK@HOST`` of ``worker-1.MARK@HOST``; of who has no mark ``HOST``."""
    return re.split("[.@]", owner, maxsplit=1)[1]


def load_of(said: dict[str, float]) -> StageLoad | None:
    """From the values of the metric ``LOAD``, by what they are. None: they were read while the first of them were being
    set, one after the other, and some are not there yet."""
    if not said.keys() >= {field.name for field in fields(StageLoad)}:
        return None
    return StageLoad(
        said["rate"],
        said["capacity"],
        int(said["lag"]),
        said["late"],
        int(said["partitions"]),
        int(said["held"]),
    )
