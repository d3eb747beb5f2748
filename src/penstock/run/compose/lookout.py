"""What only a look at the log can tell, and one process of a run looks for: its gateway, or else its first worker."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

from ...clock import Clock
from ...log.interface import GroupState, ObservedLog
from ...models.registry import Registry
from ...notices import notices
from ...plan.plan import Plan
from ...system.owner import Reminder
from .bundled import settle
from .gauges import Gauges

LOOK_S = 5.0  # seconds between two looks
SHARE = 0.01  # of a core that looks may cost


class Lookout:
    """``mark``: of this run's workers where several runs share the log. ``elsewhere``: stages are run by other hosts
    alone, of whom only the log tells whether there are any."""

    def __init__(
        self, log: ObservedLog, registry: Registry, plan: Plan, clock: Clock, mark: str = "", *, elsewhere: bool = False
    ) -> None:
        self._plan, self._registry, self._clock, self._elsewhere = plan, registry, clock, elsewhere
        self._gauges = Gauges(log, registry, clock, mark)
        self._reminder = Reminder(log, registry.view, clock)
        self._idle: set[str] = set()  # stages that nobody had at the last look

    @property
    def why(self) -> str:
        """There was no answer to the last look, for any thread to read; empty: there was one."""
        return self._gauges.why

    def run(self, stop: Event) -> None:
        """Until told to stop. Brokers may take long to answer, so this has a thread of its own."""
        wait = before = 0.0
        while not stop.wait(wait):
            began = self._clock.monotonic()
            self.look()
            took = self._clock.monotonic() - began
            # With very many groups a look is dear; then it is taken less often. One alone tells little: the first one
            # imports, and on a busy machine any may wait for its turn.
            wait = LOOK_S if self.why else max(LOOK_S, min(before, took) / SHARE)
            before = took

    def look(self) -> None:
        states = self._gauges.look()
        if states is not None:
            self._reminder.look()
            if self._elsewhere:
                self._tell_idle(states)
        settle(self._plan.models, self._registry, notices())

    def _tell_idle(self, states: Sequence[GroupState]) -> None:
        """Told at the second look: while partitions change hands, nobody has them for a moment."""
        owned = {state.group for state in states if state.owner is not None}
        idle = {stage.name for stage in self._plan.stages} - owned
        for stage in idle & self._idle:
            mend = "start `penstock run --only workers` on this log, or look at the /readyz of one that runs"
            notices().tell(_key(stage), "no worker has it: its events are kept, and wait", stage=stage, mend=mend)
        for stage in self._idle - idle:
            notices().settle(_key(stage))
        self._idle = idle


def _key(stage: str) -> str:
    return f"no worker/{stage}"
