"""What a stage's first call would wait for, done before there is an event: a fresh runner, its resources, its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Protocol

import pyarrow as pa

from ...declare.plan import ModelSpec
from ...models.interface import ModelVersion
from ...models.packing import zeros
from ...models.registry import Registry
from ...runner.interface import Runner
from ...stages.scoring.deployment import Deployment
from ...telemetry import logger

LOOK = 0.5  # seconds between two looks at which versions are current

log = logger(__name__)

Scorer = Callable[[pa.RecordBatch, float], tuple[pa.RecordBatch, ModelVersion]]
"""Scores a caller's rows within so many seconds."""


class Warm(Protocol):
    def __call__(self) -> None:
        """Make ready what is not. Raises nothing: what fails here, the first event meets too."""
        ...


@dataclass(frozen=True, slots=True)
class Function:
    """The user's code imported and his resources open. Only for the thread of the stage's pump."""

    stage: str
    runner: Runner
    timeout: float

    def __call__(self) -> None:
        try:
            self.runner.apply(self.stage, pa.record_batch({}), timeout=self.timeout)
        except Exception as error:
            log.warning("function not ready yet", stage=self.stage, reason=str(error))


@dataclass(slots=True)
class Model:
    """The version loaded that a scorer's alias points to. For any thread, as often as one likes.

    The first one is asked for by a call without rows, once; the deployment looks after those that come later.
    """

    model: ModelSpec
    registry: Registry
    deployment: Deployment
    scorer: Scorer
    timeout: float
    _seen: str = ""  # also when it could not be loaded: then the next event tries it

    def __call__(self) -> None:
        try:
            self._look()
        except Exception as error:
            log.warning("model not ready yet", model=self.model.name, reason=str(error))

    def _look(self) -> None:
        self.registry.refresh()
        if (alias := self.registry.alias(self.model.name, self.model.alias)) is None:
            return
        version = self.registry.versions(self.model.name)[alias.version - 1]
        if self.deployment.cold and version.ref != self._seen:
            self._seen = version.ref
            self.scorer(zeros(version.signature.inputs, 0), self.timeout)
        self.deployment.look(alias)
        self.deployment.retire()


def keep_warm(models: list[Model], stop: Event) -> None:
    """Load what becomes current while no event is there to do so, and let go of what was. Until ``stop``."""
    while not stop.wait(LOOK):
        for warm in models:
            warm()
