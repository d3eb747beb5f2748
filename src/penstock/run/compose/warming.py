"""What a stage's first call would wait for, done before there is an event: a fresh runner, its resources, its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Literal, Protocol

import pyarrow as pa

from ...clock import Clock
from ...errors import PenstockError, TaskFailed
from ...models.interface import ModelVersion
from ...models.messages import Register
from ...models.packing import zeros
from ...models.registry import Registry
from ...notices import notices
from ...plan.plan import ModelSpec
from ...runner.interface import Runner
from ...stages.failures.backoff import Backoff
from ...stages.failures.blame import place_of
from ...stages.failures.poison_policy import Sick
from ...stages.scoring.deployment import Deployment
from ...telemetry import logger

LOOK_S = 0.5  # seconds between two looks at which versions are current
SOONEST_S = 0.02  # seconds between two looks at what is on its way; longer, the longer it takes
TENTH = 0.1  # of the time waited so far is waited before the next look

log = logger(__name__)

Scorer = Callable[[pa.RecordBatch, float], tuple[pa.RecordBatch, ModelVersion]]
"""Scores a caller's rows within so many seconds."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a stage lacks. ``soon``: it is on its way; ``waits``: a person must give it; ``failed``: it was tried.

    ``place`` is file:line of the user's code, ``mend`` what to do about it.
    """

    kind: Literal["soon", "waits", "failed"]
    reason: str
    place: str = ""
    mend: str = ""

    def __str__(self) -> str:
        at = f" ({self.place})" if self.place else ""
        return f"{self.reason}{at}" + (f"; {self.mend}" if self.mend else "")


class Warm(Protocol):
    def __call__(self) -> Missing | None:
        """Make ready what is not, and say what is missing still; None: nothing. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Function:
    """The user's code imported and his resources open. Only for the thread of the stage's pump."""

    stage: str
    runner: Runner
    timeout: float
    place: str = ""

    def __call__(self) -> Missing | None:
        try:
            self.runner.apply(self.stage, pa.record_batch({}), timeout=self.timeout)
        except Exception as error:
            trace = error.traceback if isinstance(error, TaskFailed) else ""
            mend = "what it asks for cannot be made: mend that; it is tried again"
            return Missing("failed", str(error), place_of(trace) or self.place, mend)
        return None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Registrations whose artifact was being looked at by a process that ended: asked again, by their ids."""

    registry: Registry
    again: Callable[[Register], None]

    def __call__(self) -> Missing | None:
        try:
            self.registry.refresh()
            for command in self.registry.unanswered():
                self.again(command)
        except PenstockError as error:
            return Missing("failed", f"the registry cannot be read: {error}", mend="it is tried again")
        return None


@dataclass(slots=True)
class WarmVersion:
    """The version loaded that a scorer's alias points to. For any thread, as often as one likes.

    The first one is asked for by a call without rows; the deployment looks after those that come later.
    """

    model: ModelSpec
    registry: Registry
    deployment: Deployment
    scorer: Scorer
    timeout: float

    def __call__(self) -> Missing | None:
        """The first version. Its runner is started while the registry still looks at it."""
        name = self.model.name
        try:
            self.registry.refresh()
            if not self.deployment.cold:
                return None
            if (alias := self.registry.alias(name, self.model.alias)) is None:
                return self._without_version()
            version = self.registry.versions(name)[alias.version - 1]
            self.scorer(zeros(version.signature.inputs, 0), self.timeout)
        except Exception as error:
            mend = f"it is tried again; or give it another version: penstock models register {name} FILE"
            return Missing("failed", f"model '{name}' cannot be loaded: {error}", self.model.place, mend)
        return None

    def follow(self) -> None:
        """Load what became current since the first, and let go of what was. Raises nothing."""
        if self.deployment.cold:
            return
        try:
            self.registry.refresh()
            if (alias := self.registry.alias(self.model.name, self.model.alias)) is not None:
                self.deployment.look(alias)
                self.deployment.retire()
        except Exception as error:
            log.warning("cannot see which version is current", model=self.model.name, reason=str(error))

    def _without_version(self) -> Missing:
        name, alias = self.model.name, self.model.alias
        if self.registry.asked(name):
            self.deployment.begin()
            return Missing("soon", f"the first version of model '{name}' is being registered")
        if self.registry.versions(name):
            reason = f"no version of model '{name}' is its '{alias}'"
            return Missing("waits", reason, mend=f"penstock models alias {name} {alias} VERSION")
        if refused := self.registry.refused(name):
            reason = f"model '{name}' has no version, its registration was refused: {refused}"
            return Missing("waits", reason, self.model.place, f"penstock models register {name} FILE")
        reason = f"it waits for the first version of model '{name}'"
        return Missing("waits", reason, mend=f"penstock models register {name} FILE")


class Preparation:
    """A stage on its way to its first event. ``missing``, which any thread may read, is None once it is ready."""

    def __init__(self, stage: str, warm: Warm, clock: Clock) -> None:
        self.missing: Missing | None = Missing("soon", "it is being made ready")
        self._stage, self.warm, self._clock = stage, warm, clock
        self._key = f"preparation/{stage}"
        self._backoff = Backoff(clock)
        self._began = clock.monotonic()

    def run(self, stop: Event, waiting: Callable[[], None] = lambda: None) -> None:
        """Until the stage is ready, or ``stop``. What fails is told, and tried again ever later. ``waiting`` is called
        again and again while it waits for what a person has to give it."""
        self._began = self._clock.monotonic()
        while not stop.is_set() and (missing := self.warm()) is not None:
            self._tell(missing)
            if missing.kind == "waits":
                waiting()
            stop.wait(self._pause(missing))
        else:
            if not stop.is_set():
                self.missing = None
                notices().settle(self._key)

    def _tell(self, missing: Missing) -> None:
        self.missing = missing
        if missing.kind != "soon":
            reason = f"not ready: {missing.reason}"
            notices().tell(self._key, reason, stage=self._stage, place=missing.place, mend=missing.mend)

    def _pause(self, missing: Missing) -> float:
        if missing.kind == "failed":
            self._backoff.hold(Sick(missing.reason))
            return max(self._backoff.left(), 0.0)
        return min(max(TENTH * (self._clock.monotonic() - self._began), SOONEST_S), LOOK_S)


def keep_warm(models: list[WarmVersion], stop: Event) -> None:
    """Load what becomes current while no event is there to do so, and let go of what was. Until ``stop``."""
    while not stop.wait(LOOK_S):
        for warm in models:
            warm.follow()
